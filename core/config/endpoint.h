/*
 * From the address that a person gave to what the transport needs: a full URL and, for
 * `unix:/run/otel.sock` (also `unix:///run/otel.sock`), the socket that stands for its host.
 *
 * gRPC has no paths of its own, so one in its address is ignored; and a bare `host:port` is
 * an address there, reached over TLS unless `insecure`, as OpenTelemetry has it.
 */
#ifndef CPROF_CONFIG_ENDPOINT_H
#define CPROF_CONFIG_ENDPOINT_H

#include <stdbool.h>

#include "config/values.h"

struct endpoint {
    char *url;    /* owned by the caller after success */
    char *socket; /* likewise; NULL: TCP */
};

struct endpoint_rules {
    const char *path;       /* "/v1development/profiles", "/package.Service/Method" */
    const char *other_path; /* that the address may end in instead; NULL: none */
    bool path_is_ours;      /* append `path` where the address does not end in it */
    bool grpc;              /* the address is a host's: whatever path it has is replaced */
    bool insecure;          /* for a bare host:port */
};

/* 0, -EINVAL or -ENOMEM, with a complaint that shows no password. */
int endpoint_parse(const struct complaint *complaint, struct setting setting,
                   const struct endpoint_rules *rules, struct endpoint *endpoint);

#endif
