#include "engine/config.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "format/format.h"

#define PROFILES_PATH "/v1development/profiles"
#define MAX_FRAMES_LIMIT 4096
#define MIN_MEMORY ((size_t)4 << 20)

/* A value together with the name under which the user gave it. */
struct setting {
    const char *name;
    const char *value; /* NULL: not given */
};

struct loader {
    struct config *config;
    const struct cprof_options *options;
    char *error;
    size_t error_size;
};

static int __attribute__((format(printf, 3, 4)))
fail(const struct loader *loader, int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (loader->error_size > 0)
        vsnprintf(loader->error, loader->error_size, format, arguments);
    va_end(arguments);
    return status;
}

static int refuse(const struct loader *loader, struct setting setting, const char *allowed)
{
    return fail(loader, -EINVAL, "%s=%.100s: %s", setting.name, setting.value, allowed);
}

static int no_memory(const struct loader *loader)
{
    return fail(loader, -ENOMEM, "out of memory");
}

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static struct setting from_variable(const char *name)
{
    return (struct setting){.name = name, .value = variable(name)};
}

/* The argument of start() if given, else the variable. */
static struct setting choose(const char *argument, const char *value, const char *name)
{
    if (value != NULL && value[0] != '\0')
        return (struct setting){.name = argument, .value = value};
    return from_variable(name);
}

/* OTEL_EXPORTER_OTLP_<suffix>, or its PROFILES form, which wins. */
static struct setting otlp_setting(const char *profiles, const char *common)
{
    struct setting special = from_variable(profiles);
    return special.value != NULL ? special : from_variable(common);
}

/* ---- values ---- */

static int copy_text(const struct loader *loader, char **to, const char *text)
{
    if (text == NULL)
        return 0;
    char *copy = strdup(text);
    if (copy == NULL)
        return no_memory(loader);
    free(*to);
    *to = copy;
    return 0;
}

/* A decimal number from `low` to `high`, nothing around it. */
static bool parse_number(const char *text, double low, double high, double *number)
{
    char *end;
    if (!isdigit((unsigned char)text[0]) && text[0] != '.')
        return false;
    *number = strtod(text, &end);
    return *end == '\0' && isfinite(*number) && *number >= low && *number <= high;
}

static bool parse_count(const char *text, size_t low, size_t high, size_t *count)
{
    char *end;
    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*end != '\0' || errno != 0 || value < low || value > high)
        return false;
    *count = (size_t)value;
    return true;
}

/* Bytes, with K, M or G for powers of 1024. */
static bool parse_bytes(const char *text, size_t *bytes)
{
    static const char units[] = "KMG";
    char digits[24];
    size_t length = strlen(text);
    unsigned shift = 0;
    if (length > 0 && length < sizeof digits) {
        const char *unit = strchr(units, toupper((unsigned char)text[length - 1]));
        if (unit != NULL) {
            shift = 10 * (unsigned)(unit - units + 1);
            length--;
        }
        memcpy(digits, text, length);
        digits[length] = '\0';
        if (parse_count(digits, 1, SIZE_MAX >> shift, bytes)) {
            *bytes <<= shift;
            return *bytes >= MIN_MEMORY;
        }
    }
    return false;
}

static bool is_true(const char *text)
{
    return strcasecmp(text, "true") == 0;
}

/* ---- lists of pairs ---- */

static void pairs_free(struct pairs *pairs)
{
    for (size_t i = 0; i < pairs->count; i++) {
        free((char *)pairs->list[i].key);
        free((char *)pairs->list[i].value);
    }
    free(pairs->list);
    *pairs = (struct pairs){0};
}

/* Sets a key; a later one wins. Takes ownership of both strings. */
static int pairs_set(struct pairs *pairs, char *key, char *value)
{
    int status = -ENOMEM;
    if (key == NULL || value == NULL)
        goto refused;
    for (size_t i = 0; i < pairs->count; i++) {
        if (strcmp(pairs->list[i].key, key) == 0) {
            free((char *)pairs->list[i].value);
            pairs->list[i].value = value;
            free(key);
            return 0;
        }
    }
    status = -E2BIG;
    if (pairs->count == CONFIG_MAX_PAIRS)
        goto refused;
    if (pairs->list == NULL) {
        status = -ENOMEM;
        pairs->list = calloc(CONFIG_MAX_PAIRS, sizeof *pairs->list);
        if (pairs->list == NULL)
            goto refused;
    }
    pairs->list[pairs->count++] = (struct cprof_pair){.key = key, .value = value};
    return 0;
refused:
    free(key);
    free(value);
    return status;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A copy of [from, to) without outer blanks and with %XX decoded; NULL: out of memory. */
static char *decode(const char *from, const char *to)
{
    while (from < to && isspace((unsigned char)*from))
        from++;
    while (to > from && isspace((unsigned char)to[-1]))
        to--;
    char *text = malloc((size_t)(to - from) + 1);
    char *out = text;
    while (text != NULL && from < to) {
        int high = *from == '%' && to - from > 2 ? hex_digit(from[1]) : -1;
        int low = high >= 0 ? hex_digit(from[2]) : -1;
        if (low >= 0 && high + low > 0) {
            *out++ = (char)(high << 4 | low);
            from += 3;
        } else {
            *out++ = *from++;
        }
    }
    if (text != NULL)
        *out = '\0';
    return text;
}

/* k=v,k2=v2, percent-encoded. The value itself is not repeated in an error: headers hold
 * secrets. */
static int parse_pairs(const struct loader *loader, struct setting setting, struct pairs *pairs)
{
    const char *at = setting.value;
    while (at != NULL && *at != '\0') {
        const char *end = at + strcspn(at, ",");
        const char *equals = memchr(at, '=', (size_t)(end - at));
        char *key = equals != NULL ? decode(at, equals) : NULL;
        bool blank = strspn(at, " \t,") > (size_t)(end - at) || at == end;
        if (!blank && (key == NULL || key[0] == '\0')) {
            free(key);
            return fail(loader, -EINVAL, "%s: must be a list key=value,key=value",
                        setting.name);
        }
        if (!blank) {
            int status = pairs_set(pairs, key, decode(equals + 1, end));
            if (status == -E2BIG)
                return fail(loader, -EINVAL, "%s: more than %d pairs", setting.name,
                            CONFIG_MAX_PAIRS);
            if (status != 0)
                return no_memory(loader);
        }
        at = *end == ',' ? end + 1 : end;
    }
    return 0;
}

static int copy_pairs(const struct loader *loader, const char *argument, struct pairs *pairs,
                      const struct cprof_pair *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i].key == NULL || list[i].key[0] == '\0' || list[i].value == NULL)
            return fail(loader, -EINVAL, "%s: a pair needs a key and a value", argument);
        int status = pairs_set(pairs, strdup(list[i].key), strdup(list[i].value));
        if (status == -E2BIG)
            return fail(loader, -EINVAL, "%s: more than %d pairs", argument, CONFIG_MAX_PAIRS);
        if (status != 0)
            return no_memory(loader);
    }
    return 0;
}

/* ---- comma lists of words ---- */

struct word {
    const char *text;
    bool *chosen; /* NULL: known, but not in this version */
};

/* Sets *chosen for each word of the list. What is known but not there yet is one warning. */
static int parse_words(const struct loader *loader, struct setting setting,
                       const struct word *words, size_t count, const char *allowed)
{
    for (const char *at = setting.value; at != NULL && *at != '\0';) {
        size_t length = strcspn(at, ",");
        const char *word = at;
        at += length + (at[length] == ',');
        while (length > 0 && isspace((unsigned char)*word))
            word++, length--;
        while (length > 0 && isspace((unsigned char)word[length - 1]))
            length--;
        size_t i = 0;
        while (i < count && (strncmp(words[i].text, word, length) != 0 ||
                             words[i].text[length] != '\0' || length == 0))
            i++;
        if (i == count)
            return refuse(loader, setting, allowed);
        if (words[i].chosen != NULL)
            *words[i].chosen = true;
        else
            log_warn("%s: %s is not available in this version", setting.name, words[i].text);
    }
    return 0;
}

/* ---- one function for each group of settings ---- */

static int load_log(const struct loader *loader)
{
    struct setting setting = from_variable("CPROF_LOG");
    enum log_level level = LOG_WARN;
    if (setting.value != NULL && log_parse_level(setting.value, &level) != 0)
        return refuse(loader, setting, "must be error, warn, info or debug");
    log_set_level(level);
    return 0;
}

static int load_disabled(const struct loader *loader)
{
    const char *value = variable("OTEL_SDK_DISABLED");
    if (value != NULL && is_true(value))
        return fail(loader, -ECANCELED, "OTEL_SDK_DISABLED=true: not profiling");
    return 0;
}

static int load_types(const struct loader *loader)
{
    bool cpu = false;
    struct setting setting = choose("types", loader->options->types, "CPROF_TYPES");
    if (setting.value == NULL)
        return 0;
    const struct word words[] = {
        {"cpu", &cpu}, {"wall", NULL}, {"alloc", NULL}, {"heap", NULL}, {"lock", NULL}};
    int status = parse_words(loader, setting, words, sizeof words / sizeof *words,
                             "this version has cpu");
    if (status == 0 && !cpu)
        status = refuse(loader, setting, "none of these is available; this version has cpu");
    return status;
}

static int load_rate(const struct loader *loader)
{
    static const char allowed[] = "must be a whole number from 1 to 1000";
    size_t rate = 100;
    struct setting setting = from_variable("CPROF_RATE");
    char text[16];
    if (loader->options->rate != 0) {
        snprintf(text, sizeof text, "%u", loader->options->rate);
        setting = (struct setting){.name = "rate", .value = text};
    }
    if (setting.value != NULL && !parse_count(setting.value, 1, 1000, &rate))
        return refuse(loader, setting, allowed);
    loader->config->rate = (unsigned)rate;
    return 0;
}

static int load_interval(const struct loader *loader)
{
    struct setting setting = from_variable("CPROF_INTERVAL");
    char text[32];
    if (loader->options->interval != 0) {
        snprintf(text, sizeof text, "%g", loader->options->interval);
        setting = (struct setting){.name = "interval", .value = text};
    }
    loader->config->interval = 10;
    if (setting.value != NULL &&
        !parse_number(setting.value, 0.1, 86400, &loader->config->interval))
        return refuse(loader, setting, "must be seconds from 0.1 to 86400");
    return 0;
}

static int load_limits(const struct loader *loader)
{
    struct config *config = loader->config;
    struct setting setting = choose("native", loader->options->native, "CPROF_NATIVE");
    config->native = setting.value == NULL || strcmp(setting.value, "on") == 0;
    if (!config->native && strcmp(setting.value, "off") != 0)
        return refuse(loader, setting, "must be on or off");
    config->max_frames = 512;
    setting = from_variable("CPROF_MAX_FRAMES");
    if (setting.value != NULL &&
        !parse_count(setting.value, 1, MAX_FRAMES_LIMIT, &config->max_frames))
        return refuse(loader, setting, "must be a whole number from 1 to 4096");
    config->memory_limit = (size_t)32 << 20;
    setting = from_variable("CPROF_MEMORY_LIMIT");
    if (setting.value != NULL && !parse_bytes(setting.value, &config->memory_limit))
        return refuse(loader, setting, "must be bytes (or K, M, G), at least 4M");
    return 0;
}

static void tell_missing(void)
{
    static const char *const names[] = {"CPROF_SPOOL_DIR", "CPROF_LISTEN",
                                        "CPROF_SPAN_PROFILE_ID"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (variable(names[i]) != NULL)
            log_warn("%s: not available in this version", names[i]);
}

static int load_labels(const struct loader *loader)
{
    int status = parse_pairs(loader, from_variable("CPROF_LABELS"), &loader->config->labels);
    if (status == 0)
        status = copy_pairs(loader, "labels", &loader->config->labels, loader->options->labels,
                            loader->options->label_count);
    return status;
}

static const char *find_pair(const struct pairs *pairs, const char *key)
{
    for (size_t i = 0; i < pairs->count; i++)
        if (strcmp(pairs->list[i].key, key) == 0)
            return pairs->list[i].value;
    return NULL;
}

static int default_service_name(const struct loader *loader)
{
    char path[PATH_MAX], name[PATH_MAX + 32];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    path[length > 0 ? length : 0] = '\0';
    const char *slash = strrchr(path, '/');
    const char *program = slash != NULL ? slash + 1 : path;
    snprintf(name, sizeof name, "unknown_service%s%s", program[0] ? ":" : "", program);
    return copy_text(loader, &loader->config->service_name, name);
}

static int load_resource(const struct loader *loader)
{
    struct config *config = loader->config;
    const struct cprof_options *options = loader->options;
    int status = copy_pairs(loader, "resource", &config->resource, options->resource,
                            options->resource_count);
    if (status == 0)
        status =
            parse_pairs(loader, from_variable("OTEL_RESOURCE_ATTRIBUTES"), &config->resource);
    if (status != 0)
        return status;
    const char *name = choose("service_name", options->service_name, "OTEL_SERVICE_NAME").value;
    if (name == NULL)
        name = find_pair(&config->resource, "service.name");
    return name != NULL ? copy_text(loader, &config->service_name, name)
                        : default_service_name(loader);
}

/* ---- sinks ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* The base endpoint gets the path of profiles; the PROFILES form is used as it is. */
static int load_endpoint(const struct loader *loader)
{
    struct setting setting = from_variable("OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT");
    bool complete = true;
    const char *argument = loader->options->endpoint;
    if ((argument != NULL && argument[0] != '\0') || setting.value == NULL) {
        setting = choose("endpoint", argument, "OTEL_EXPORTER_OTLP_ENDPOINT");
        complete = false;
    }
    if (setting.value == NULL)
        setting.value = "http://localhost:4318";
    if (strncasecmp(setting.value, "http://", 7) != 0 &&
        strncasecmp(setting.value, "https://", 8) != 0)
        return refuse(loader, setting, "must be a URL that begins with http:// or https://");
    if (complete || ends_with(setting.value, PROFILES_PATH))
        return copy_text(loader, &loader->config->otlp_endpoint, setting.value);
    size_t length = strlen(setting.value);
    while (setting.value[length - 1] == '/')
        length--;
    size_t size = length + sizeof PROFILES_PATH;
    char *url = malloc(size);
    if (url == NULL)
        return no_memory(loader);
    snprintf(url, size, "%.*s%s", (int)length, setting.value, PROFILES_PATH);
    loader->config->otlp_endpoint = url;
    return 0;
}

static int load_otlp_values(const struct loader *loader)
{
    struct config *config = loader->config;
    struct setting setting =
        otlp_setting("OTEL_EXPORTER_OTLP_PROFILES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT");
    double milliseconds = 10000;
    if (setting.value != NULL && !parse_number(setting.value, 1, 1e7, &milliseconds))
        return refuse(loader, setting, "must be milliseconds from 1 to 10000000");
    config->otlp_timeout = milliseconds / 1000;
    setting = otlp_setting("OTEL_EXPORTER_OTLP_PROFILES_COMPRESSION",
                           "OTEL_EXPORTER_OTLP_COMPRESSION");
    config->otlp_gzip = setting.value == NULL || strcmp(setting.value, "gzip") == 0;
    if (!config->otlp_gzip && strcmp(setting.value, "none") != 0)
        return refuse(loader, setting, "must be gzip or none");
    return 0;
}

static int load_otlp_files(const struct loader *loader)
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
        status = copy_text(loader, files[i].to,
                           otlp_setting(files[i].profiles, files[i].common).value);
    return status;
}

/* Takes otlp out of the sinks when it wants the protocol that is not there yet. */
static int load_protocol(const struct loader *loader)
{
    struct setting setting =
        otlp_setting("OTEL_EXPORTER_OTLP_PROFILES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL");
    if (setting.value == NULL || strcmp(setting.value, "http/protobuf") == 0)
        return 0;
    if (strcmp(setting.value, "grpc") != 0)
        return refuse(loader, setting, "must be http/protobuf");
    log_warn("%s=grpc: not available in this version; set OTEL_EXPORTER_OTLP_PROFILES_PROTOCOL="
             "http/protobuf to send profiles over HTTP",
             setting.name);
    loader->config->otlp = false;
    return 0;
}

static int load_otlp(const struct loader *loader)
{
    struct pairs *headers = &loader->config->otlp_headers;
    int status = load_protocol(loader);
    if (status != 0 || !loader->config->otlp)
        return status;
    status = load_endpoint(loader);
    if (status == 0)
        status = load_otlp_values(loader);
    if (status == 0)
        status = load_otlp_files(loader);
    /* The common headers first, so that the special ones win key by key. */
    if (status == 0)
        status = parse_pairs(loader, from_variable("OTEL_EXPORTER_OTLP_HEADERS"), headers);
    if (status == 0)
        status =
            parse_pairs(loader, from_variable("OTEL_EXPORTER_OTLP_PROFILES_HEADERS"), headers);
    if (status == 0)
        status = copy_pairs(loader, "headers", headers, loader->options->headers,
                            loader->options->header_count);
    return status;
}

static int load_sinks(const struct loader *loader)
{
    struct config *config = loader->config;
    bool file = false, none = false;
    struct setting output = choose("output", loader->options->output, "CPROF_OUTPUT");
    struct setting setting = choose("exporter", loader->options->exporter, "CPROF_EXPORTER");
    if (setting.value == NULL) {
        setting.value = output.value != NULL ? "file" : "otlp";
    } else if (loader->options->output != NULL && loader->options->output[0] != '\0' &&
               setting.name != NULL && strcmp(setting.name, "CPROF_EXPORTER") == 0) {
        file = true; /* asked for in the program, whatever the environment adds */
    }
    const struct word words[] = {{"otlp", &config->otlp},
                                 {"file", &file},
                                 {"none", &none},
                                 {"pyroscope", NULL},
                                 {"parca", NULL}};
    static const char allowed[] = "must be a list of otlp, file, none";
    int status = parse_words(loader, setting, words, sizeof words / sizeof *words, allowed);
    if (status == 0 && config->otlp)
        status = load_otlp(loader);
    if (status != 0)
        return status;
    if (!file && !none && !config->otlp)
        return refuse(loader, setting, "no exporter is left that this version has");
    if (file && output.value == NULL)
        return refuse(loader, setting, "needs CPROF_OUTPUT, the file's path");
    if (!file && output.value != NULL)
        log_warn("%s=%.100s: no file is written, since %s=%s does not name file", output.name,
                 output.value, setting.name, setting.value);
    return file ? copy_text(loader, &config->output, output.value) : 0;
}

int config_load(struct config *config, const struct cprof_options *options, char *error,
                size_t error_size)
{
    static int (*const steps[])(const struct loader *) = {
        load_log,    load_disabled, load_types,    load_rate,  load_interval,
        load_limits, load_labels,   load_resource, load_sinks,
    };
    static const struct cprof_options none;
    *config = (struct config){0};
    const struct loader loader = {.config = config,
                                  .options = options != NULL ? options : &none,
                                  .error = error,
                                  .error_size = error_size};
    int status =
        copy_text(&loader, &config->library_directory, loader.options->library_directory);
    for (size_t i = 0; i < sizeof steps / sizeof *steps && status == 0; i++)
        status = steps[i](&loader);
    if (status != 0)
        config_free(config);
    else
        tell_missing();
    return status;
}

void config_free(struct config *config)
{
    char *const texts[] = {config->service_name,  config->library_directory,
                           config->otlp_endpoint, config->certificate,
                           config->client_key,    config->client_certificate,
                           config->output};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(texts[i]);
    pairs_free(&config->labels);
    pairs_free(&config->resource);
    pairs_free(&config->otlp_headers);
    *config = (struct config){0};
}

/* The length of the ending that picks the format, with its dot. */
static size_t ending_length(const char *path)
{
    const struct format *format = format_by_path(path);
    for (size_t i = 0; format != NULL && format->endings[i] != NULL; i++)
        if (ends_with(path, format->endings[i]))
            return strlen(format->endings[i]);
    return 0;
}

char *config_child_output(const char *output, long pid)
{
    if (strstr(output, "%p") != NULL)
        return strdup(output);
    size_t stem = strlen(output) - ending_length(output);
    char *adjusted = NULL;
    if (asprintf(&adjusted, "%.*s.%ld%s", (int)stem, output, pid, output + stem) < 0)
        return NULL;
    return adjusted;
}
