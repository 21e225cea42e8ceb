/*
 * What start() was asked for, by its arguments and the environment: read once, checked, and
 * kept for a child that starts anew after fork. Plain data; owns all its strings.
 *
 * Where both speak, the argument wins over the variable; an empty variable counts as unset,
 * as OpenTelemetry wants it. A value that makes no sense ends config_load() with a line that
 * names the variable (or argument), the value and what is allowed. Things that the interface
 * names and this version does not have yet are one warning each, and the rest goes on.
 */
#ifndef CPROF_CONFIG_CONFIG_H
#define CPROF_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "config/endpoint.h"
#include "config/values.h"
#include "cprof/cprof.h"
#include "export/transport.h"
#include "source/source.h"
#include "store/ages.h"

/* Where one of OpenTelemetry's signals goes. */
struct otlp_server {
    char *url;    /* in full, with the path of the signal or of the gRPC method */
    char *socket; /* path of a unix socket that stands for the URL's host, or NULL */
    enum transport_protocol protocol;
    enum transport_packing packing;
    struct pairs headers;
    double timeout; /* seconds */
    char *certificate, *client_key, *client_certificate;
};

struct config {
    char *origin; /* who started; NULL: the program */
    char *service_name;
    struct source_set sources;
    double interval;     /* seconds */
    double exit_timeout; /* seconds that the program's end waits for deliveries at most */
    bool native;
    bool kernel;          /* the kernel's frames too */
    bool thread_labels;   /* samples say their thread */
    bool timestamps;      /* samples say when they were taken */
    bool share_context;   /* publish the context for other readers on the host */
    bool span_profile_id; /* bindings set profile.id on root spans */
    size_t max_frames;
    size_t memory_limit; /* bytes */
    struct pairs labels;
    struct pairs runtime;  /* what the binding says of the process */
    struct pairs resource; /* what the user says: Kubernetes', then OTEL_RESOURCE_ATTRIBUTES */
    bool resource_full;    /* also what only describes the process */
    char *library_directory;
    /* sinks */
    bool otlp;
    bool otlp_metrics;                /* the figures of /metrics go there too */
    struct otlp_server profiles;      /* its timeout and files hold for every server */
    struct otlp_server metrics;       /* where otlp_metrics is */
    double metrics_interval;          /* seconds */
    struct endpoint pyroscope, parca; /* without a URL: no such sink */
    struct pairs backend_headers;     /* for these two */
    const char *output_name;          /* "output" or CPROF_OUTPUT: who gave it */
    char *output;                     /* absolute; NULL: no file sink */
    char *spool_folder;               /* NULL: profiles wait in memory */
    size_t spool_limit;               /* bytes, for each server */
    char *store_folder;               /* NULL: no history is kept */
    size_t store_limit;               /* bytes of that folder */
    struct ages store_ages;
    char *listen;       /* address of the pull endpoint, or NULL */
    bool listen_public; /* other hosts may connect */
};

/* 0, -EINVAL, -ECANCELED (OTEL_SDK_DISABLED) or -ENOMEM, with a line in `error`; the config is
 * empty then. Sets the log level. */
int config_load(struct config *config, const struct cprof_options *options, char *error,
                size_t error_size);
void config_free(struct config *config);

/* What the service would be called by the environment alone, of which nothing is said and
 * nothing else is read. To be freed; NULL: no memory. */
char *config_service_name(void);

#endif
