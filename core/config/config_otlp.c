/*
 * OpenTelemetry's own variables: OTEL_EXPORTER_OTLP_… for all signals, their forms for one
 * signal, which win, and OTEL_METRICS_EXPORTER.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/config_load.h"
#include "config/endpoint.h"

/* A signal's form of a variable, and the one for all. */
struct variable {
    const char *own, *common;
};

struct signal {
    const char *path, *method;
    struct variable endpoint, insecure, protocol, compression, timeout, headers;
    struct variable certificate, client_key, client_certificate;
};

#define VARIABLE(signal, name)                                                                 \
    {                                                                                          \
        "OTEL_EXPORTER_OTLP_" signal "_" name, "OTEL_EXPORTER_OTLP_" name                      \
    }
#define VARIABLES(signal)                                                                      \
    .endpoint = VARIABLE(signal, "ENDPOINT"), .insecure = VARIABLE(signal, "INSECURE"),        \
    .protocol = VARIABLE(signal, "PROTOCOL"), .compression = VARIABLE(signal, "COMPRESSION"),  \
    .timeout = VARIABLE(signal, "TIMEOUT"), .headers = VARIABLE(signal, "HEADERS"),            \
    .certificate = VARIABLE(signal, "CERTIFICATE"),                                            \
    .client_key = VARIABLE(signal, "CLIENT_KEY"),                                              \
    .client_certificate = VARIABLE(signal, "CLIENT_CERTIFICATE")

static const struct signal profiles = {
    .path = "/v1development/profiles",
    .method = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export",
    VARIABLES("PROFILES"),
};
static const struct signal metrics = {
    .path = "/v1/metrics",
    .method = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    VARIABLES("METRICS"),
};

static struct setting choose(const struct variable *variable)
{
    struct setting own = setting_variable(variable->own);
    return own.value != NULL ? own : setting_variable(variable->common);
}

/* The base endpoint gets the signal's path; the signal's own form is used as it is. */
static int load_endpoint(const struct config_loader *loader, const struct signal *signal,
                         struct otlp_server *server)
{
    struct setting setting = setting_variable(signal->endpoint.own);
    struct setting insecure = choose(&signal->insecure);
    const char *argument = loader->options->endpoint;
    bool grpc = server->protocol == TRANSPORT_GRPC;
    struct endpoint_rules rules = {.path = grpc ? signal->method : signal->path, .grpc = grpc};
    struct endpoint endpoint;
    if ((argument != NULL && argument[0] != '\0') || setting.value == NULL) {
        setting = setting_choose("endpoint", argument, signal->endpoint.common);
        rules.path_is_ours = true;
    }
    if (setting.value == NULL)
        setting.value = grpc ? "http://localhost:4317" : "http://localhost:4318";
    rules.insecure = insecure.value != NULL && value_is_true(insecure.value);
    int status = endpoint_parse(&loader->complaint, setting, &rules, &endpoint);
    server->url = endpoint.url;
    server->socket = endpoint.socket;
    return status;
}

static int load_packing(const struct config_loader *loader, const struct signal *signal,
                        struct otlp_server *server)
{
    struct setting setting = choose(&signal->compression);
    if (setting.value == NULL || strcmp(setting.value, "gzip") == 0)
        server->packing = PACK_GZIP;
    else if (strcmp(setting.value, "zstd") == 0)
        server->packing = PACK_ZSTD;
    else if (strcmp(setting.value, "none") == 0)
        server->packing = PACK_NONE;
    else
        return value_refuse(&loader->complaint, setting, "must be gzip, zstd or none");
    return 0;
}

static int load_timeout(const struct config_loader *loader, const struct signal *signal,
                        struct otlp_server *server)
{
    struct setting setting = choose(&signal->timeout);
    double milliseconds = 10000;
    static const struct unit units[] = {{"ms", 1}, {"s", 1e3}, {NULL, 0}};
    if (setting.value != NULL && !value_with_unit(setting.value, units, 1, 1e7, &milliseconds))
        return value_refuse(&loader->complaint, setting,
                            "must be milliseconds from 1 to 10000000");
    server->timeout = milliseconds / 1000;
    return 0;
}

static int load_files(const struct config_loader *loader, const struct signal *signal,
                      struct otlp_server *server)
{
    const struct {
        const struct variable *variable;
        char **to;
    } files[] = {{&signal->certificate, &server->certificate},
                 {&signal->client_key, &server->client_key},
                 {&signal->client_certificate, &server->client_certificate}};
    int status = 0;
    for (size_t i = 0; i < sizeof files / sizeof *files && status == 0; i++)
        status = value_copy(&loader->complaint, files[i].to, choose(files[i].variable).value);
    return status;
}

static int load_protocol(const struct config_loader *loader, const struct signal *signal,
                         struct otlp_server *server)
{
    struct setting setting = choose(&signal->protocol);
    server->protocol = TRANSPORT_HTTP;
    if (setting.value == NULL || strcmp(setting.value, "http/protobuf") == 0)
        return 0;
    if (strcmp(setting.value, "grpc") != 0)
        return value_refuse(&loader->complaint, setting, "must be http/protobuf or grpc");
    server->protocol = TRANSPORT_GRPC;
    return 0;
}

/* The common headers first, so that the special ones win key by key. */
static int load_headers(const struct config_loader *loader, const struct signal *signal,
                        struct otlp_server *server)
{
    const struct cprof_options *options = loader->options;
    int status = value_pairs(&loader->complaint, setting_variable(signal->headers.common),
                             PAIRS_LENIENT, &server->headers);
    if (status == 0)
        status = value_pairs(&loader->complaint, setting_variable(signal->headers.own),
                             PAIRS_LENIENT, &server->headers);
    if (status == 0)
        status = pairs_copy(&loader->complaint, "headers", &server->headers, options->headers,
                            options->header_count);
    return status;
}

typedef int loading(const struct config_loader *loader, const struct signal *signal,
                    struct otlp_server *server);

static int load_server(const struct config_loader *loader, const struct signal *signal,
                       struct otlp_server *server)
{
    static loading *const steps[] = {load_timeout,  load_files,   load_protocol,
                                     load_endpoint, load_packing, load_headers};
    int status = 0;
    for (size_t i = 0; i < sizeof steps / sizeof *steps && status == 0; i++)
        status = steps[i](loader, signal, server);
    return status;
}

/* The list is for the program's own SDK as well: what else it names is none of ours. */
static bool names_otlp(const char *list)
{
    while (list != NULL && *list != '\0') {
        size_t length = strcspn(list += strspn(list, ", "), ", ");
        if (length == 4 && strncasecmp(list, "otlp", 4) == 0)
            return true;
        list += length;
    }
    return false;
}

static int load_metrics_interval(const struct config_loader *loader)
{
    struct setting setting = setting_variable("OTEL_METRIC_EXPORT_INTERVAL");
    double milliseconds = 60000;
    static const struct unit units[] = {{"ms", 1}, {"s", 1e3}, {NULL, 0}};
    if (setting.value != NULL && !value_with_unit(setting.value, units, 1, 1e9, &milliseconds))
        return value_refuse(&loader->complaint, setting,
                            "must be milliseconds from 1 to 1000000000");
    loader->config->metrics_interval = milliseconds / 1000;
    return 0;
}

/* Variables of metrics are the program's own SDK's as well: one that makes no sense here is a
 * line, and costs the figures, not the profiles. */
static void load_metrics(const struct config_loader *loader)
{
    struct config *config = loader->config;
    char line[512] = "out of memory";
    const struct config_loader lenient = {
        .config = config,
        .options = loader->options,
        .complaint = {.line = line, .size = sizeof line},
    };
    int status = load_metrics_interval(&lenient);
    if (status == 0)
        status = load_server(&lenient, &metrics, &config->metrics);
    config->otlp_metrics = status == 0;
    if (status != 0)
        log_warn("%s; cprof's figures are not sent", line);
}

int config_load_otlp(const struct config_loader *loader)
{
    struct config *config = loader->config;
    int status = 0;
    if (!config->otlp) {
        status = load_timeout(loader, &profiles, &config->profiles);
        return status != 0 ? status : load_files(loader, &profiles, &config->profiles);
    }
    status = load_server(loader, &profiles, &config->profiles);
    if (status == 0 && names_otlp(value_of_variable("OTEL_METRICS_EXPORTER")))
        load_metrics(loader);
    return status;
}
