#include "engine/sinks.h"

/* A server that takes pprof, which is packed already. */
static struct transport_options backend(const struct config *config,
                                        const struct endpoint *endpoint,
                                        enum transport_protocol protocol)
{
    return (struct transport_options){.url = endpoint->url,
                                      .unix_socket = endpoint->socket,
                                      .protocol = protocol,
                                      .packing = PACK_NONE,
                                      .headers = config->backend_headers.list,
                                      .header_count = config->backend_headers.count,
                                      .timeout = config->profiles.timeout,
                                      .certificate = config->profiles.certificate,
                                      .client_key = config->profiles.client_key,
                                      .client_certificate =
                                          config->profiles.client_certificate};
}

static struct transport_options otlp(const struct otlp_server *server, bool wanted)
{
    return (struct transport_options){.url = wanted ? server->url : NULL,
                                      .unix_socket = server->socket,
                                      .protocol = server->protocol,
                                      .packing = server->packing,
                                      .headers = server->headers.list,
                                      .header_count = server->headers.count,
                                      .timeout = server->timeout,
                                      .certificate = server->certificate,
                                      .client_key = server->client_key,
                                      .client_certificate = server->client_certificate};
}

struct exporter *sinks_open(const struct config *config, const char *output,
                            struct budget *budget, char *error, size_t error_size)
{
    const struct exporter_options options = {
        .otlp = otlp(&config->profiles, config->otlp),
        .metrics = otlp(&config->metrics, config->otlp_metrics),
        .metrics_interval = config->metrics_interval,
        .pyroscope = backend(config, &config->pyroscope, TRANSPORT_HTTP),
        .parca = backend(config, &config->parca, TRANSPORT_GRPC),
        .output = output,
        .output_name = config->output_name,
        .spool_folder = config->spool_folder,
        .spool_limit = config->spool_limit,
        .store_folder = config->store_folder,
        .store_limit = config->store_limit,
        .store_ages = config->store_ages,
        .timestamps = config->timestamps,
        .service_name = config->service_name,
        .library_directory = config->library_directory,
        .budget = budget,
    };
    return exporter_new(&options, error, error_size);
}
