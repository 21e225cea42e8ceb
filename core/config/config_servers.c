#include "config/config_load.h"

#include <stdlib.h>
#include <string.h>

#include "config/endpoint.h"

#define PUSH_PATH "/push.v1.PusherService/Push"
#define INGEST_PATH "/ingest"
#define WRITE_RAW_METHOD "/parca.profilestore.v1alpha1.ProfileStoreService/WriteRaw"

/* ---- Pyroscope and Parca ---- */

/* The address of one of them. */
static int load_backend(const struct config_loader *loader, const struct endpoint_rules *rules,
                        const char *address, struct endpoint *endpoint)
{
    struct setting setting =
        setting_choose("endpoint", loader->options->endpoint, "CPROF_ENDPOINT");
    if (setting.value == NULL)
        setting.value = address;
    return endpoint_parse(&loader->complaint, setting, rules, endpoint);
}

static int load_backends(const struct config_loader *loader, bool pyroscope, bool parca)
{
    struct config *config = loader->config;
    const struct endpoint_rules push = {
        .path = PUSH_PATH, .other_path = INGEST_PATH, .path_is_ours = true};
    const struct endpoint_rules write = {.path = WRITE_RAW_METHOD, .grpc = true};
    int status = 0;
    if (pyroscope)
        status = load_backend(loader, &push, "http://localhost:4040", &config->pyroscope);
    if (status == 0 && parca)
        status = load_backend(loader, &write, "http://localhost:7070", &config->parca);
    if (status == 0)
        status = value_pairs(&loader->complaint, setting_variable("CPROF_HEADERS"),
                             PAIRS_LENIENT, &config->backend_headers);
    if (status == 0)
        status = pairs_copy(&loader->complaint, "headers", &config->backend_headers,
                            loader->options->headers, loader->options->header_count);
    return status;
}

/* ---- all of them ---- */

/* One address, one set of keys: they must not go to a server that they were not meant for. */
static int check_servers(const struct config_loader *loader, struct setting exporter,
                         bool pyroscope, bool parca)
{
    const struct cprof_options *options = loader->options;
    int servers = loader->config->otlp + pyroscope + parca;
    bool argument = (options->endpoint != NULL && options->endpoint[0] != '\0') ||
                    options->header_count > 0;
    if (argument && servers > 1)
        return value_refuse(&loader->complaint, exporter,
                            "endpoint and headers are for one server; for several set "
                            "OTEL_EXPORTER_OTLP_ENDPOINT, CPROF_ENDPOINT and their _HEADERS");
    if (pyroscope && parca &&
        (value_of_variable("CPROF_ENDPOINT") || value_of_variable("CPROF_HEADERS")))
        return value_refuse(&loader->complaint, exporter,
                            "CPROF_ENDPOINT and CPROF_HEADERS are for one server");
    return 0;
}

int config_load_servers(const struct config_loader *loader, struct setting exporter,
                        bool pyroscope, bool parca)
{
    if (!loader->config->otlp && !pyroscope && !parca)
        return 0;
    int status = check_servers(loader, exporter, pyroscope, parca);
    if (status == 0)
        status = config_load_otlp(loader);
    if (status == 0 && (pyroscope || parca))
        status = load_backends(loader, pyroscope, parca);
    return status;
}
