#include "engine/join.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

static bool same_text(const char *one, const char *other)
{
    return one == other || (one != NULL && other != NULL && strcmp(one, other) == 0);
}

/* Is every pair of `list` in `pairs`? */
static bool has_pairs(const struct pairs *pairs, const struct cprof_pair *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = 0;
        while (at < pairs->count && strcmp(pairs->list[at].key, list[i].key) != 0)
            at++;
        if (at == pairs->count || !same_text(pairs->list[at].value, list[i].value))
            return false;
    }
    return true;
}

static bool has_headers(const struct config *running, const struct cprof_options *given)
{
    return has_pairs(&running->profiles.headers, given->headers, given->header_count) ||
           has_pairs(&running->backend_headers, given->headers, given->header_count);
}

static bool same_sinks(const struct config *one, const struct config *other)
{
    return one->otlp == other->otlp && !one->pyroscope.url == !other->pyroscope.url &&
           !one->parca.url == !other->parca.url && !one->output == !other->output;
}

static bool same_servers(const struct config *one, const struct config *other)
{
    return same_text(one->profiles.url, other->profiles.url) &&
           same_text(one->profiles.socket, other->profiles.socket) &&
           same_text(one->pyroscope.url, other->pyroscope.url) &&
           same_text(one->parca.url, other->parca.url);
}

void join_differences(const struct config *running, const struct config *asked,
                      const struct cprof_options *given, char *list, size_t size)
{
    const struct {
        const char *name;
        bool differs;
    } options[] = {
        {"service_name",
         given->service_name && !same_text(running->service_name, asked->service_name)},
        {"rate", given->rate &&
                     running->sources.making[SOURCE_CPU] != asked->sources.making[SOURCE_CPU]},
        {"interval", given->interval != 0 && running->interval != asked->interval},
        {"exporter", given->exporter && !given->block && !same_sinks(running, asked)},
        {"endpoint", given->endpoint && !same_servers(running, asked)},
        {"output",
         given->output && !given->block && !same_text(running->output, asked->output)},
        {"headers", !has_headers(running, given)},
        {"labels", !has_pairs(&running->labels, given->labels, given->label_count)},
        {"native", given->native && running->native != asked->native},
    };
    size_t used = 0;
    list[0] = '\0';
    for (size_t i = 0; i < sizeof options / sizeof *options && used < size; i++)
        if (options[i].differs)
            used += (size_t)snprintf(list + used, size - used, "%s%s", used > 0 ? ", " : "",
                                     options[i].name);
}

bool join_tell(const struct config *running, bool block, const char *differences)
{
    bool differs = differences[0] != '\0';
    if (block && differs)
        log_warn("profile: cprof runs already, and its own settings hold for the block too, "
                 "not the block's %s",
                 differences);
    else if (!block)
        log_warn("start: already running%s%s; this call joins it%s%s",
                 running->origin != NULL ? ", by " : "",
                 running->origin != NULL ? running->origin : "",
                 differs ? ", which keeps its own " : "", differences);
    return differs || !block;
}
