#include "engine/exposition.h"

#include <stdio.h>
#include <string.h>

enum kind { KIND_COUNT, KIND_LEVEL, KIND_MEAN };

static void put(struct buffer *out, const char *text)
{
    buffer_append(out, text, strlen(text));
}

/* Its head, and where `value` is not NULL the figure itself. */
static void put_metric(struct buffer *out, const char *name, const char *help, enum kind kind,
                       const uint64_t *value)
{
    char full[96], line[256];
    const char *ns = strstr(name, "_ns");
    snprintf(full, sizeof full, "cprof_%.*s%s%s%s", ns != NULL ? (int)(ns - name) : 64, name,
             ns != NULL ? ns + 3 : "", ns != NULL ? "_seconds" : "",
             kind == KIND_COUNT ? "_total" : "");
    snprintf(line, sizeof line, "# HELP %s %s\n# TYPE %s %s\n", full, help, full,
             kind == KIND_COUNT ? "counter" : "gauge");
    put(out, line);
    if (value == NULL)
        return;
    if (ns != NULL)
        snprintf(line, sizeof line, "%s %.9f\n", full, (double)*value / 1e9);
    else
        snprintf(line, sizeof line, "%s %llu\n", full, (unsigned long long)*value);
    put(out, line);
}

/* The value of a label. */
static void put_quoted(struct buffer *out, const char *text)
{
    put(out, "\"");
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            buffer_append(out, "\\", 1);
        if (*text == '\n')
            put(out, "\\n");
        else
            buffer_append(out, text, 1);
    }
    put(out, "\"");
}

static void put_series(struct buffer *out, const struct hot_series *series)
{
    char value[64];
    put(out, "cprof_cpu_seconds_total{function=");
    put_quoted(out, series->function);
    put(out, ",module=");
    put_quoted(out, series->module);
    snprintf(value, sizeof value, "} %.9f\n", (double)series->cpu_ns / 1e9);
    put(out, value);
}

void exposition_write(const struct cprof_stats *stats, const struct hot_series *series,
                      size_t count, struct buffer *out)
{
#define PUT(field, kind)                                                                       \
    put_metric(out, #field, "See docs/troubleshooting.md, cprof's own figures.", KIND_##kind,  \
               &stats->field);
    CPROF_STATS_FIELDS(PUT)
#undef PUT
    put_metric(out, "cpu_seconds", "CPU time of the samples, by the function they stand in.",
               KIND_COUNT, NULL);
    for (size_t i = 0; i < count; i++)
        put_series(out, &series[i]);
}
