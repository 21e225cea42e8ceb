#include "config/config_load.h"

#include <stdlib.h>
#include <string.h>

#include "config/endpoint.h"

#define PROFILES_PATH "/v1development/profiles"
#define PROFILES_METHOD                                                                        \
    "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export"
#define PUSH_PATH "/push.v1.PusherService/Push"
#define INGEST_PATH "/ingest"
#define WRITE_RAW_METHOD "/parca.profilestore.v1alpha1.ProfileStoreService/WriteRaw"

/* OTEL_EXPORTER_OTLP_<suffix>, or its PROFILES form, which wins. */
static struct setting otlp_setting(const char *profiles, const char *common)
{
    struct setting special = setting_variable(profiles);
    return special.value != NULL ? special : setting_variable(common);
}

/* ---- OTLP ---- */

/* The base endpoint gets the path of profiles; the PROFILES form is used as it is. */
static int load_endpoint(const struct config_loader *loader)
{
    struct config *config = loader->config;
    struct setting setting = setting_variable("OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT");
    struct setting insecure =
        otlp_setting("OTEL_EXPORTER_OTLP_PROFILES_INSECURE", "OTEL_EXPORTER_OTLP_INSECURE");
    const char *argument = loader->options->endpoint;
    bool grpc = config->otlp_protocol == TRANSPORT_GRPC;
    struct endpoint_rules rules = {.path = grpc ? PROFILES_METHOD : PROFILES_PATH,
                                   .grpc = grpc};
    struct endpoint endpoint;
    if ((argument != NULL && argument[0] != '\0') || setting.value == NULL) {
        setting = setting_choose("endpoint", argument, "OTEL_EXPORTER_OTLP_ENDPOINT");
        rules.path_is_ours = true;
    }
    if (setting.value == NULL)
        setting.value = grpc ? "http://localhost:4317" : "http://localhost:4318";
    rules.insecure = insecure.value != NULL && value_is_true(insecure.value);
    int status = endpoint_parse(&loader->complaint, setting, &rules, &endpoint);
    config->otlp_endpoint = endpoint.url;
    config->otlp_socket = endpoint.socket;
    return status;
}

static int load_packing(const struct config_loader *loader)
{
    struct config *config = loader->config;
    struct setting setting = otlp_setting("OTEL_EXPORTER_OTLP_PROFILES_COMPRESSION",
                                          "OTEL_EXPORTER_OTLP_COMPRESSION");
    if (setting.value == NULL || strcmp(setting.value, "gzip") == 0)
        config->otlp_packing = PACK_GZIP;
    else if (strcmp(setting.value, "zstd") == 0)
        config->otlp_packing = PACK_ZSTD;
    else if (strcmp(setting.value, "none") == 0)
        config->otlp_packing = PACK_NONE;
    else
        return value_refuse(&loader->complaint, setting, "must be gzip, zstd or none");
    return 0;
}

static int load_timeout(const struct config_loader *loader)
{
    struct config *config = loader->config;
    struct setting setting =
        otlp_setting("OTEL_EXPORTER_OTLP_PROFILES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT");
    double milliseconds = 10000;
    static const struct unit units[] = {{"ms", 1}, {"s", 1e3}, {NULL, 0}};
    if (setting.value != NULL && !value_with_unit(setting.value, units, 1, 1e7, &milliseconds))
        return value_refuse(&loader->complaint, setting,
                            "must be milliseconds from 1 to 10000000");
    config->otlp_timeout = milliseconds / 1000;
    return 0;
}

static int load_files(const struct config_loader *loader)
{
    const struct {
        const char *profiles, *common;
        char **to;
    } files[] = {
        {"OTEL_EXPORTER_OTLP_PROFILES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE",
         &loader->config->certificate},
        {"OTEL_EXPORTER_OTLP_PROFILES_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY",
         &loader->config->client_key},
        {"OTEL_EXPORTER_OTLP_PROFILES_CLIENT_CERTIFICATE",
         "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &loader->config->client_certificate},
    };
    int status = 0;
    for (size_t i = 0; i < sizeof files / sizeof *files && status == 0; i++)
        status = value_copy(&loader->complaint, files[i].to,
                            otlp_setting(files[i].profiles, files[i].common).value);
    return status;
}

static int load_protocol(const struct config_loader *loader)
{
    struct setting setting =
        otlp_setting("OTEL_EXPORTER_OTLP_PROFILES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL");
    loader->config->otlp_protocol = TRANSPORT_HTTP;
    if (setting.value == NULL || strcmp(setting.value, "http/protobuf") == 0)
        return 0;
    if (strcmp(setting.value, "grpc") != 0)
        return value_refuse(&loader->complaint, setting, "must be http/protobuf or grpc");
    loader->config->otlp_protocol = TRANSPORT_GRPC;
    return 0;
}

static int load_otlp(const struct config_loader *loader)
{
    struct pairs *headers = &loader->config->otlp_headers;
    int status = load_protocol(loader);
    if (status == 0)
        status = load_endpoint(loader);
    if (status == 0)
        status = load_packing(loader);
    /* The common headers first, so that the special ones win key by key. */
    if (status == 0)
        status = value_pairs(&loader->complaint, setting_variable("OTEL_EXPORTER_OTLP_HEADERS"),
                             PAIRS_LENIENT, headers);
    if (status == 0)
        status = value_pairs(&loader->complaint,
                             setting_variable("OTEL_EXPORTER_OTLP_PROFILES_HEADERS"),
                             PAIRS_LENIENT, headers);
    if (status == 0)
        status = pairs_copy(&loader->complaint, "headers", headers, loader->options->headers,
                            loader->options->header_count);
    return status;
}

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
        status = load_timeout(loader);
    if (status == 0)
        status = load_files(loader);
    if (status == 0 && loader->config->otlp)
        status = load_otlp(loader);
    if (status == 0 && (pyroscope || parca))
        status = load_backends(loader, pyroscope, parca);
    return status;
}
