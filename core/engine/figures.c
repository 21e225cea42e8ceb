#include "engine/figures.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "sample/kinds.h"
#include "sample/pauses.h"

_Static_assert(HOT_SERIES <= FIGURE_POINTS && WAIT_SERIES <= FIGURE_POINTS &&
                   PAUSES_SERIES <= FIGURE_POINTS,
               "who writes figures has room for so many");

#define OWN_HELP "See docs/troubleshooting.md, cprof's own figures."

/* Types of which a sum says enough: a column, and the figure that it adds up to. */
static const struct {
    const char *column, *name, *help;
    enum figure_unit unit;
} totals_of[FIGURE_TOTALS] = {
    {"exceptions", "exceptions", "Exceptions that were raised.", FIGURE_PLAIN},
    {"contentions", "lock_contentions", "Times that a thread waited for a lock.", FIGURE_PLAIN},
    {"delay", "lock_delay", "How long these waited.", FIGURE_SECONDS},
};

static struct hot_functions functions;
static struct wait_totals waits;
static _Atomic int64_t totals[FIGURE_TOTALS];

void figures_reset(void)
{
    hot_init(&functions);
    wait_totals_init(&waits);
    for (size_t i = 0; i < FIGURE_TOTALS; i++)
        atomic_store(&totals[i], -1);
}

static void count_total(const struct profile *p, size_t number)
{
    const int column = profile_value_column(p, totals_of[number].column);
    if (column < 0)
        return;
    const size_t sheet = profile_column_sheet(p, (size_t)column);
    const int64_t before = atomic_load(&totals[number]);
    int64_t sum = before > 0 ? before : 0;
    for (size_t i = profile_first_sample(p, sheet); i < profile_first_sample(p, sheet + 1);
         i++) {
        const struct profile_sample sample = profile_get_sample(p, i);
        sum += profile_value(p, &sample, (size_t)column);
    }
    if (sum != 0) /* a type that was asked for may not be had */
        atomic_store(&totals[number], sum);
}

void figures_count(const struct profile *interval)
{
    hot_count(&functions, interval);
    wait_totals_count(&waits, interval);
    for (size_t i = 0; i < FIGURE_TOTALS; i++)
        count_total(interval, i);
}

void figures_read(struct collector *collector, struct figures *figures)
{
    collector_stats(collector, &figures->stats);
    figures->function_count = hot_read(&functions, figures->functions);
    figures->wait_count = wait_totals_read(&waits, figures->waits);
    for (size_t i = 0; i < FIGURE_TOTALS; i++)
        figures->totals[i] = atomic_load(&totals[i]);
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

static void show_total(const struct figures *figures, size_t number, showing *each,
                       void *closure)
{
    const struct figure_point point = {.value = (uint64_t)figures->totals[number]};
    const struct figure figure = {.name = totals_of[number].name,
                                  .help = totals_of[number].help,
                                  .kind = FIGURE_COUNT,
                                  .unit = totals_of[number].unit,
                                  .points = &point,
                                  .count = figures->totals[number] >= 0};
    each(closure, &figure);
}

void figures_each(const struct figures *figures, showing *each, void *closure)
{
#define SHOW(field, kind) show_own(#field, FIGURE_##kind, figures->stats.field, each, closure);
    CPROF_STATS_FIELDS(SHOW)
#undef SHOW
    show_functions(figures, each, closure);
    show_waits(figures, each, closure);
    show_collections(each, closure);
    for (size_t i = 0; i < FIGURE_TOTALS; i++)
        show_total(figures, i, each, closure);
}
