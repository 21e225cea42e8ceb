#include "engine/figures.h"

#include <stdio.h>
#include <string.h>

#include "sample/kinds.h"
#include "sample/pauses.h"

#define OWN_HELP "See docs/troubleshooting.md, cprof's own figures."

static struct hot_functions functions;
static struct wait_totals waits;

void figures_reset(void)
{
    hot_init(&functions);
    wait_totals_init(&waits);
}

void figures_count(const struct profile *interval)
{
    hot_count(&functions, interval);
    wait_totals_count(&waits, interval);
}

void figures_read(struct collector *collector, struct figures *figures)
{
    collector_stats(collector, &figures->stats);
    figures->function_count = hot_read(&functions, figures->functions);
    figures->wait_count = wait_totals_read(&waits, figures->waits);
}

typedef void showing(void *closure, const struct figure *figure);

/* A figure of stats(): its name says its unit, at its end ("alloc_bytes") or where it stands
 * ("handler_ns_mean"). */
static void show_own(const char *field, enum figure_kind kind, uint64_t value, showing *each,
                     void *closure)
{
    char name[64];
    const char *ns = strstr(field, "_ns"), *bytes = strstr(field, "_bytes");
    const char *unit = ns != NULL ? ns : bytes != NULL ? bytes : field + strlen(field);
    const char *rest = unit + (ns != NULL      ? strlen("_ns")
                               : bytes != NULL ? strlen("_bytes")
                                               : 0);
    snprintf(name, sizeof name, "%.*s%s", (int)(unit - field), field, rest);
    const struct figure_point point = {.value = value};
    const struct figure figure = {.name = name,
                                  .help = OWN_HELP,
                                  .kind = kind,
                                  .unit = ns != NULL      ? FIGURE_SECONDS
                                          : bytes != NULL ? FIGURE_BYTES
                                                          : FIGURE_PLAIN,
                                  .points = &point,
                                  .count = 1};
    each(closure, &figure);
}

static void show_functions(const struct figures *figures, showing *each, void *closure)
{
    struct figure_point points[HOT_SERIES];
    for (size_t i = 0; i < figures->function_count; i++)
        points[i] = (struct figure_point){
            .labels = {figures->functions[i].function, figures->functions[i].module},
            .value = (uint64_t)figures->functions[i].cpu_ns};
    const struct figure figure = {.name = "cpu",
                                  .help =
                                      "CPU time of the samples, by the function they stand in.",
                                  .kind = FIGURE_COUNT,
                                  .unit = FIGURE_SECONDS,
                                  .labels = {"function", "module"},
                                  .points = points,
                                  .count = figures->function_count};
    each(closure, &figure);
}

static void show_waits(const struct figures *figures, showing *each, void *closure)
{
    struct figure_point points[WAIT_SERIES];
    for (size_t i = 0; i < figures->wait_count; i++)
        points[i] =
            (struct figure_point){.labels = {figures->waits[i].state, figures->waits[i].reason},
                                  .value = (uint64_t)figures->waits[i].ns};
    const struct figure figure = {.name = "wait",
                                  .help =
                                      "Time in which threads did not run, by what they waited "
                                      "for.",
                                  .kind = FIGURE_COUNT,
                                  .unit = FIGURE_SECONDS,
                                  .labels = {"state", "reason"},
                                  .points = points,
                                  .count = figures->wait_count};
    each(closure, &figure);
}

/* Cause and generation are parts of the kind's text. */
static void show_pauses(const char *name, const char *help, enum figure_unit unit,
                        const struct figure_point *points, size_t count, showing *each,
                        void *closure)
{
    const struct figure figure = {.name = name,
                                  .help = help,
                                  .kind = FIGURE_COUNT,
                                  .unit = unit,
                                  .labels = {"cause", "generation"},
                                  .points = points,
                                  .count = count};
    if (count > 0)
        each(closure, &figure);
}

static void show_collections(showing *each, void *closure)
{
    struct pauses series[PAUSES_SERIES];
    struct figure_point points[3][PAUSES_SERIES];
    char causes[PAUSES_SERIES][KINDS_TEXT + 1];
    const size_t count = pauses_read(series);
    for (size_t i = 0; i < count; i++) {
        const char *text = kinds_text(series[i].kind), *rest = strchr(text, PAUSES_SEPARATOR);
        const char *generation = rest != NULL ? rest + 1 : "";
        snprintf(causes[i], sizeof causes[i], "%.*s",
                 rest != NULL ? (int)(rest - text) : KINDS_TEXT, text);
        const uint64_t values[3] = {series[i].collections, series[i].wall_ns, series[i].cpu_ns};
        for (size_t column = 0; column < 3; column++)
            points[column][i] = (struct figure_point){.labels = {causes[i], generation},
                                                      .value = values[column]};
    }
    show_pauses("gc_collections_by_cause", "Collections of garbage.", FIGURE_PLAIN, points[0],
                count, each, closure);
    show_pauses("gc_pause_by_cause", "How long collections held up their threads.",
                FIGURE_SECONDS, points[1], count, each, closure);
    show_pauses("gc_cpu_by_cause", "CPU time of the threads that collect.", FIGURE_SECONDS,
                points[2], count, each, closure);
}

void figures_each(const struct figures *figures, showing *each, void *closure)
{
#define SHOW(field, kind) show_own(#field, FIGURE_##kind, figures->stats.field, each, closure);
    CPROF_STATS_FIELDS(SHOW)
#undef SHOW
    show_functions(figures, each, closure);
    show_waits(figures, each, closure);
    show_collections(each, closure);
}
