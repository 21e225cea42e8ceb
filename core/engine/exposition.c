#include "engine/exposition.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

static void put(struct buffer *out, const char *text)
{
    buffer_append(out, text, strlen(text));
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

static void put_labels(const struct figure *figure, const struct figure_point *point,
                       struct buffer *out)
{
    for (size_t i = 0; i < FIGURE_LABELS && point->labels[i] != NULL; i++) {
        put(out, i == 0 ? "{" : ",");
        put(out, figure->labels[i]);
        put(out, "=");
        put_quoted(out, point->labels[i]);
    }
    if (point->labels[0] != NULL)
        put(out, "}");
}

static void put_figure(void *closure, const struct figure *figure)
{
    static const char *const units[] = {
        [FIGURE_PLAIN] = "", [FIGURE_SECONDS] = "_seconds", [FIGURE_BYTES] = "_bytes"};
    struct buffer *out = closure;
    const bool counts = figure->kind == FIGURE_COUNT;
    char name[128], line[512];
    snprintf(name, sizeof name, "cprof_%s%s%s", figure->name, units[figure->unit],
             counts ? "_total" : "");
    snprintf(line, sizeof line, "# HELP %s %s\n# TYPE %s %s\n", name, figure->help, name,
             counts ? "counter" : "gauge");
    put(out, line);
    for (size_t i = 0; i < figure->count; i++) {
        const struct figure_point *point = &figure->points[i];
        put(out, name);
        put_labels(figure, point, out);
        const unsigned long long value = point->value, second = NS_PER_SECOND;
        if (figure->unit == FIGURE_SECONDS) /* whatever the locale's decimal point is */
            snprintf(line, sizeof line, " %llu.%09llu\n", value / second, value % second);
        else
            snprintf(line, sizeof line, " %llu\n", value);
        put(out, line);
    }
}

void exposition_write(const struct figures *figures, struct buffer *out)
{
    figures_each(figures, put_figure, out);
}
