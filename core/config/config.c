#include "config/config.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/own_program.h"
#include "config/config_load.h"
#include "export/sink_file.h"
#include "pull/address.h"
#include "store/store.h"

#define MAX_FRAMES_LIMIT 4096
#define MIN_MEMORY ((size_t)4 << 20)
#define MIN_SPOOL ((size_t)1 << 20)
#define MIN_STORE ((size_t)1 << 20)

/* ---- one function for each group of settings ---- */

static int load_log(const struct config_loader *loader)
{
    struct setting setting = setting_variable("CPROF_LOG");
    enum log_level level = LOG_WARN;
    if (setting.value != NULL && log_parse_level(setting.value, &level) != 0)
        return value_refuse(&loader->complaint, setting, "must be error, warn, info or debug");
    log_set_level(level);
    return 0;
}

static int load_disabled(const struct config_loader *loader)
{
    const char *value = value_of_variable("OTEL_SDK_DISABLED");
    if (value != NULL && value_is_true(value))
        return value_complain(&loader->complaint, -ECANCELED,
                              "OTEL_SDK_DISABLED=true: not profiling");
    return 0;
}

static const struct unit seconds_units[] = {
    {"s", 1}, {"ms", 1e-3}, {"m", 60}, {"min", 60}, {NULL, 0}};

static int load_interval(const struct config_loader *loader)
{
    struct setting setting = setting_variable("CPROF_INTERVAL");
    char text[32];
    if (loader->options->interval != 0) {
        snprintf(text, sizeof text, "%g", loader->options->interval);
        setting = (struct setting){.name = "interval", .value = text};
    }
    loader->config->interval = 10;
    if (setting.value != NULL &&
        !value_with_unit(setting.value, seconds_units, 0.1, 86400, &loader->config->interval))
        return value_refuse(&loader->complaint, setting, "must be seconds from 0.1 to 86400");
    return 0;
}

static int load_exit_timeout(const struct config_loader *loader)
{
    struct setting setting = setting_variable("CPROF_EXIT_TIMEOUT");
    loader->config->exit_timeout = 1;
    if (setting.value != NULL &&
        !value_with_unit(setting.value, seconds_units, 0, 3600, &loader->config->exit_timeout))
        return value_refuse(&loader->complaint, setting, "must be seconds from 0 to 3600");
    return 0;
}

/* A setting that is on or off; *chosen holds the default. */
static int load_switch(const struct config_loader *loader, struct setting setting, bool *chosen)
{
    if (setting.value == NULL)
        return 0;
    *chosen = strcmp(setting.value, "on") == 0;
    if (!*chosen && strcmp(setting.value, "off") != 0)
        return value_refuse(&loader->complaint, setting, "must be on or off");
    return 0;
}

static int load_switches(const struct config_loader *loader)
{
    struct config *config = loader->config;
    config->native = config->share_context = config->thread_labels = true;
    int status =
        load_switch(loader, setting_choose("native", loader->options->native, "CPROF_NATIVE"),
                    &config->native);
    if (status == 0)
        status = load_switch(loader, setting_variable("CPROF_KERNEL"), &config->kernel);
    if (status == 0)
        status = load_switch(loader, setting_variable("CPROF_SHARE_CONTEXT"),
                             &config->share_context);
    if (status == 0)
        status = load_switch(loader, setting_variable("CPROF_THREAD_LABELS"),
                             &config->thread_labels);
    if (status == 0)
        status = load_switch(loader, setting_variable("CPROF_TIMESTAMPS"), &config->timestamps);
    if (status == 0)
        status = load_switch(loader, setting_variable("CPROF_SPAN_PROFILE_ID"),
                             &config->span_profile_id);
    return status;
}

static int load_limits(const struct config_loader *loader)
{
    struct config *config = loader->config;
    config->max_frames = 512;
    struct setting setting = setting_variable("CPROF_MAX_FRAMES");
    if (setting.value != NULL &&
        !value_count(setting.value, 1, MAX_FRAMES_LIMIT, &config->max_frames))
        return value_refuse(&loader->complaint, setting,
                            "must be a whole number from 1 to 4096");
    config->memory_limit = (size_t)32 << 20;
    setting = setting_variable("CPROF_MEMORY_LIMIT");
    if (setting.value != NULL && !value_bytes(setting.value, MIN_MEMORY, &config->memory_limit))
        return value_refuse(&loader->complaint, setting,
                            "must be bytes, as 64M or 64MiB, at least 4M");
    return 0;
}

static int load_listen(const struct config_loader *loader)
{
    struct config *config = loader->config;
    struct setting setting = setting_variable("CPROF_LISTEN");
    const char *others = value_of_variable("CPROF_LISTEN_PUBLIC"), *allowed = NULL;
    struct pull_address address;
    config->listen_public = others != NULL && value_is_true(others);
    if (setting.value != NULL)
        allowed = pull_address_parse(setting.value, config->listen_public, &address);
    if (allowed != NULL)
        return value_refuse(&loader->complaint, setting, allowed);
    return value_copy(&loader->complaint, &config->listen, setting.value);
}

static int load_labels(const struct config_loader *loader)
{
    int status = value_pairs(&loader->complaint, setting_variable("CPROF_LABELS"),
                             PAIRS_LENIENT, &loader->config->labels);
    if (status == 0)
        status = pairs_copy(&loader->complaint, "labels", &loader->config->labels,
                            loader->options->labels, loader->options->label_count);
    return status;
}

static const char *find_pair(const struct pairs *pairs, const char *key)
{
    for (size_t i = 0; i < pairs->count; i++)
        if (strcmp(pairs->list[i].key, key) == 0)
            return pairs->list[i].value;
    return NULL;
}

static int default_service_name(const struct config_loader *loader)
{
    char path[PATH_MAX], name[PATH_MAX + 32];
    own_program(path, sizeof path);
    const char *slash = strrchr(path, '/');
    const char *program = slash != NULL ? slash + 1 : path;
    snprintf(name, sizeof name, "unknown_service%s%s", program[0] ? ":" : "", program);
    return value_copy(&loader->complaint, &loader->config->service_name, name);
}

/* What the downward API is told to put into variables has no standard names. These are in use:
 * those of semantic conventions in capitals, of the OpenTelemetry operator, and short ones,
 * which mean a pod only inside of one. */
static int load_kubernetes(const struct config_loader *loader)
{
    static const struct {
        const char *attribute, *variables[4];
    } facts[] = {
        {"k8s.pod.name", {"K8S_POD_NAME", "OTEL_RESOURCE_ATTRIBUTES_POD_NAME", "POD_NAME"}},
        {"k8s.pod.uid", {"K8S_POD_UID", "OTEL_RESOURCE_ATTRIBUTES_POD_UID", "POD_UID"}},
        {"k8s.namespace.name", {"K8S_NAMESPACE_NAME", "K8S_NAMESPACE", "POD_NAMESPACE"}},
        {"k8s.node.name", {"K8S_NODE_NAME", "OTEL_RESOURCE_ATTRIBUTES_NODE_NAME", "NODE_NAME"}},
        {"k8s.container.name", {"K8S_CONTAINER_NAME", "CONTAINER_NAME"}},
        {"k8s.deployment.name", {"K8S_DEPLOYMENT_NAME"}},
        {"k8s.cluster.name", {"K8S_CLUSTER_NAME"}},
    };
    int status = 0;
    if (value_of_variable("KUBERNETES_SERVICE_HOST") == NULL)
        return 0;
    for (size_t i = 0; i < sizeof facts / sizeof *facts && status == 0; i++) {
        struct cprof_pair fact = {.key = facts[i].attribute};
        for (const char *const *name = facts[i].variables; *name && !fact.value; name++)
            fact.value = value_of_variable(*name);
        if (fact.value != NULL)
            status =
                pairs_copy(&loader->complaint, "resource", &loader->config->resource, &fact, 1);
    }
    return status;
}

/* The variable speaks to every SDK in the process. When it makes no sense it is ignored as a
 * whole, as OpenTelemetry wants it, and nothing else changes. */
static int read_attributes(struct config *config, char *line, size_t line_size)
{
    struct pairs given = {0};
    const struct complaint own = {.line = line, .size = line_size};
    int status =
        value_pairs(&own, setting_variable("OTEL_RESOURCE_ATTRIBUTES"), PAIRS_STRICT, &given);
    if (status == 0)
        status = pairs_copy(&own, "OTEL_RESOURCE_ATTRIBUTES", &config->resource, given.list,
                            given.count);
    pairs_free(&given);
    return status;
}

static int load_attributes(const struct config_loader *loader)
{
    char line[128] = "";
    int status = read_attributes(loader->config, line, sizeof line);
    if (status == -EINVAL)
        log_warn("%s; it is ignored", line);
    return status == -ENOMEM ? value_no_memory(&loader->complaint) : 0;
}

static int load_extent(const struct config_loader *loader)
{
    struct setting setting = setting_variable("CPROF_RESOURCE");
    if (setting.value == NULL)
        return 0;
    loader->config->resource_full = strcmp(setting.value, "full") == 0;
    if (!loader->config->resource_full && strcmp(setting.value, "identity") != 0)
        return value_refuse(&loader->complaint, setting, "must be identity or full");
    return 0;
}

static int load_service(const struct config_loader *loader)
{
    struct config *config = loader->config;
    const char *name =
        setting_choose("service_name", loader->options->service_name, "OTEL_SERVICE_NAME")
            .value;
    if (name == NULL)
        name = find_pair(&config->resource, "service.name");
    return name != NULL ? value_copy(&loader->complaint, &config->service_name, name)
                        : default_service_name(loader);
}

static int load_resource(const struct config_loader *loader)
{
    struct config *config = loader->config;
    const struct cprof_options *options = loader->options;
    int status = load_extent(loader);
    if (status == 0)
        status = pairs_copy(&loader->complaint, "resource", &config->runtime, options->resource,
                            options->resource_count);
    if (status == 0)
        status = load_kubernetes(loader);
    if (status == 0)
        status = load_attributes(loader);
    return status != 0 ? status : load_service(loader);
}

char *config_service_name(void)
{
    static const struct cprof_options none;
    char unsaid[128];
    struct config config = {0};
    const struct config_loader loader = {.config = &config,
                                         .options = &none,
                                         .complaint = {.line = unsaid, .size = sizeof unsaid}};
    char *name = NULL;
    if (read_attributes(&config, unsaid, sizeof unsaid) != -ENOMEM &&
        load_service(&loader) == 0)
        name = strdup(config.service_name);
    config_free(&config);
    return name;
}

/* ---- sinks ---- */

static int load_spool(const struct config_loader *loader)
{
    struct config *config = loader->config;
    struct setting setting = setting_variable("CPROF_SPOOL_LIMIT");
    config->spool_limit = (size_t)256 << 20;
    if (setting.value != NULL && !value_bytes(setting.value, MIN_SPOOL, &config->spool_limit))
        return value_refuse(&loader->complaint, setting,
                            "must be bytes, as 64M or 64MiB, at least 1M");
    return value_copy(&loader->complaint, &config->spool_folder,
                      value_of_variable("CPROF_SPOOL_DIR"));
}

/* A block has its file, and keeps no history. */
static int load_store(const struct config_loader *loader)
{
    struct config *config = loader->config;
    struct setting setting = setting_variable("CPROF_STORE_LIMIT");
    config->store_limit = STORE_LIMIT;
    if (setting.value != NULL && !value_bytes(setting.value, MIN_STORE, &config->store_limit))
        return value_refuse(&loader->complaint, setting,
                            "must be bytes, as 64M or 64MiB, at least 1M");
    setting = setting_variable("CPROF_STORE_AGES");
    if (!ages_parse(setting.value != NULL ? setting.value : AGES_DEFAULT, &config->store_ages))
        return value_refuse(&loader->complaint, setting,
                            "must be a list such as " AGES_DEFAULT
                            ": how long an interval is, and until which age; both grow");
    return loader->options->block ? 0
                                  : value_copy(&loader->complaint, &config->store_folder,
                                               value_of_variable(STORE_VARIABLE));
}

/* The sink of those who name none. History is one, and enough, unless a server is named. */
static const char *default_exporter(const struct config_loader *loader,
                                    const struct setting *output)
{
    if (output->value != NULL)
        return "file";
    bool server = (loader->options->endpoint != NULL && loader->options->endpoint[0] != '\0') ||
                  value_of_variable("OTEL_EXPORTER_OTLP_ENDPOINT") != NULL ||
                  value_of_variable("OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT") != NULL;
    return value_of_variable(STORE_VARIABLE) != NULL && !server ? "none" : "otlp";
}

static int load_sinks(const struct config_loader *loader)
{
    struct config *config = loader->config;
    bool file = false, none = false, pyroscope = false, parca = false;
    struct setting output = setting_choose("output", loader->options->output, "CPROF_OUTPUT");
    struct setting setting =
        setting_choose("exporter", loader->options->exporter, "CPROF_EXPORTER");
    if (loader->options->block) { /* has its file, and needs no sink unless it names one */
        output = (struct setting){0};
        setting = (struct setting){.name = "exporter", .value = loader->options->exporter};
    }
    if (setting.value == NULL && loader->options->block) {
        none = true;
        setting.value = "none";
    } else if (setting.value == NULL) {
        setting.value = default_exporter(loader, &output);
    } else if (loader->options->output != NULL && loader->options->output[0] != '\0' &&
               setting.name != NULL && strcmp(setting.name, "CPROF_EXPORTER") == 0) {
        file = true; /* asked for in the program, whatever the environment adds */
    }
    const struct word words[] = {{"otlp", &config->otlp},
                                 {"pyroscope", &pyroscope},
                                 {"parca", &parca},
                                 {"file", &file},
                                 {"none", &none}};
    static const char allowed[] = "must be a list of otlp, pyroscope, parca, file, none";
    int status =
        value_words(&loader->complaint, setting, words, sizeof words / sizeof *words, allowed);
    if (status == 0)
        status = config_load_servers(loader, setting, pyroscope, parca);
    if (status != 0)
        return status;
    file = file && !loader->options->block;
    if (file && output.value == NULL)
        return value_refuse(&loader->complaint, setting,
                            setting.value == loader->options->exporter
                                ? "needs output, the file's path"
                                : "needs CPROF_OUTPUT, the file's path");
    if (!file && output.value != NULL)
        log_warn("%s=%.100s: no file is written, since %s=%s does not name file", output.name,
                 output.value, setting.name, setting.value);
    config->output_name = output.name;
    if (file)
        config->output = sink_file_absolute(output.value);
    return file && config->output == NULL
               ? value_refuse(&loader->complaint, output, strerror(errno))
               : 0;
}

int config_load(struct config *config, const struct cprof_options *options, char *error,
                size_t error_size)
{
    static int (*const steps[])(const struct config_loader *) = {
        load_log,      load_disabled, config_load_types, load_interval, load_exit_timeout,
        load_switches, load_limits,   load_labels,       load_resource, load_sinks,
        load_listen,   load_spool,    load_store,
    };
    static const struct cprof_options none;
    *config = (struct config){0};
    const struct config_loader loader = {.config = config,
                                         .options = options != NULL ? options : &none,
                                         .complaint = {.line = error, .size = error_size}};
    int status = value_copy(&loader.complaint, &config->library_directory,
                            loader.options->library_directory);
    if (status == 0)
        status = value_copy(&loader.complaint, &config->origin, loader.options->origin);
    for (size_t i = 0; i < sizeof steps / sizeof *steps && status == 0; i++)
        status = steps[i](&loader);
    if (status != 0)
        config_free(config);
    return status;
}

static void free_server(struct otlp_server *server)
{
    free(server->url);
    free(server->socket);
    free(server->certificate);
    free(server->client_key);
    free(server->client_certificate);
    pairs_free(&server->headers);
}

void config_free(struct config *config)
{
    char *const texts[] = {config->origin,    config->service_name,  config->library_directory,
                           config->output,    config->spool_folder,  config->store_folder,
                           config->listen,    config->pyroscope.url, config->pyroscope.socket,
                           config->parca.url, config->parca.socket};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(texts[i]);
    pairs_free(&config->labels);
    pairs_free(&config->runtime);
    pairs_free(&config->resource);
    free_server(&config->profiles);
    free_server(&config->metrics);
    pairs_free(&config->backend_headers);
    *config = (struct config){0};
}
