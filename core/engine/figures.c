#include "engine/figures.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "sample/kinds.h"
#include "sample/pauses.h"

_Static_assert(HOT_SERIES <= FIGURE_POINTS && WAIT_SERIES <= FIGURE_POINTS &&
                   PAUSES_SERIES <= FIGURE_POINTS && LOOP_WORDS * FIGURE_LOOPS <= FIGURE_POINTS,
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
    population_reset();
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

void figures_count(const struct profile *interval, const struct cprof_runtime *runtime)
{
    loops_close_interval();
    population_count(runtime);
    hot_count(&functions, interval);
    wait_totals_count(&waits, interval);
    for (size_t i = 0; i < FIGURE_TOTALS; i++)
        count_total(interval, i);
}

/* What comes after the last one that is shown by its name. */
static void fold_loop(struct loop_figures *into, const struct loop_figures *other)
{
    uint64_t *const sums[] = {&into->active_ns, &into->idle_ns};
    const uint64_t added[] = {other->active_ns, other->idle_ns};
    uint64_t *const most[] = {&into->p50_ns, &into->p90_ns, &into->p99_ns, &into->mean_ns,
                              &into->max_ns};
    const uint64_t others[] = {other->p50_ns, other->p90_ns, other->p99_ns, other->mean_ns,
                               other->max_ns};
    snprintf(into->name, sizeof into->name, "other");
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++)
        *sums[i] += added[i];
    for (size_t i = 0; i < sizeof most / sizeof *most; i++)
        *most[i] = others[i] > *most[i] ? others[i] : *most[i];
    for (size_t i = 0; i < LOOP_WORDS; i++)
        into->turns[i] += other->turns[i];
    into->resources |= other->resources;
    into->handles += other->handles;
    into->requests += other->requests;
}

static bool same_name(const struct loop_figures *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].name, name) == 0)
            return true;
    return false;
}

/* Threads may have one name. */
static void name_apart(struct loop_figures *list, size_t count)
{
    struct loop_figures *loop = &list[count];
    char name[THREAD_NAME_SIZE];
    snprintf(name, sizeof name, "%s", loop->name);
    for (unsigned number = 2; same_name(list, count, loop->name); number++)
        snprintf(loop->name, sizeof loop->name, "%.48s (%u)", name, number);
}

static size_t read_loops(struct loop_figures shown[FIGURE_LOOPS])
{
    struct loop_figures all[LOOPS_MAX];
    const size_t count = loops_read(all);
    for (size_t i = 0; i < count; i++) {
        if (i >= FIGURE_LOOPS) {
            fold_loop(&shown[FIGURE_LOOPS - 1], &all[i]);
            continue;
        }
        shown[i] = all[i];
        name_apart(shown, i);
    }
    return count < FIGURE_LOOPS ? count : FIGURE_LOOPS;
}

void figures_read(struct collector *collector, struct figures *figures)
{
    collector_stats(collector, &figures->stats);
    figures->function_count = hot_read(&functions, figures->functions);
    figures->wait_count = wait_totals_read(&waits, figures->waits);
    for (size_t i = 0; i < FIGURE_TOTALS; i++)
        figures->totals[i] = atomic_load(&totals[i]);
    figures->loop_count = read_loops(figures->loops);
    figures->population = population_read();
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

static void show_loop_levels(const struct figures *figures, showing *each, void *closure)
{
#define LEVEL(field, help, unit)                                                               \
    {                                                                                          \
        "eventloop_delay_" #field, help, unit, offsetof(struct loop_figures, field##_ns)       \
    }
    static const struct {
        const char *name, *help;
        enum figure_unit unit;
        size_t at;
    } levels[] = {
        LEVEL(p50, "Median delay of an event loop in the last interval.", FIGURE_SECONDS),
        LEVEL(p90, "90th percentile of the delay of an event loop in the last interval.",
              FIGURE_SECONDS),
        LEVEL(p99, "99th percentile of the delay of an event loop in the last interval.",
              FIGURE_SECONDS),
        LEVEL(mean, "Mean delay of an event loop in the last interval.", FIGURE_SECONDS),
        LEVEL(max, "Longest turn of an event loop in the last interval, or since.",
              FIGURE_SECONDS),
    };
#undef LEVEL
    for (size_t level = 0; level < sizeof levels / sizeof *levels; level++) {
        struct figure_point points[FIGURE_LOOPS];
        for (size_t i = 0; i < figures->loop_count; i++)
            points[i] = (struct figure_point){
                .labels = {figures->loops[i].name},
                .value = *(const uint64_t *)(const void *)((const char *)&figures->loops[i] +
                                                           levels[level].at)};
        const struct figure figure = {.name = levels[level].name,
                                      .help = levels[level].help,
                                      .kind = FIGURE_LEVEL,
                                      .unit = levels[level].unit,
                                      .labels = {"thread"},
                                      .points = points,
                                      .count = figures->loop_count};
        each(closure, &figure);
    }
}

/* Two points a loop: time in turns and time that it waited. */
static void show_loop_time(const struct figures *figures, showing *each, void *closure)
{
    struct figure_point points[2 * FIGURE_LOOPS];
    for (size_t i = 0; i < figures->loop_count; i++) {
        const struct loop_figures *loop = &figures->loops[i];
        points[2 * i] =
            (struct figure_point){.labels = {loop->name, "active"}, .value = loop->active_ns};
        points[2 * i + 1] =
            (struct figure_point){.labels = {loop->name, "idle"}, .value = loop->idle_ns};
    }
    const struct figure figure = {.name = "eventloop_time",
                                  .help = "Time of event loops, in turns and waiting.",
                                  .kind = FIGURE_COUNT,
                                  .unit = FIGURE_SECONDS,
                                  .labels = {"thread", "state"},
                                  .points = points,
                                  .count = 2 * figures->loop_count};
    each(closure, &figure);
}

static void show_loop_turns(const struct figures *figures, showing *each, void *closure)
{
    struct figure_point points[LOOP_WORDS * FIGURE_LOOPS];
    size_t count = 0;
    for (size_t i = 0; i < figures->loop_count; i++)
        for (size_t word = 0; word < LOOP_WORDS; word++) {
            const char *text = loop_word_text((enum loop_word)word);
            points[count++] = (struct figure_point){
                .labels = {figures->loops[i].name, text != NULL ? text : "short"},
                .value = figures->loops[i].turns[word]};
        }
    const struct figure figure = {.name = "eventloop_turns",
                                  .help = "Turns of event loops, by their length.",
                                  .kind = FIGURE_COUNT,
                                  .unit = FIGURE_PLAIN,
                                  .labels = {"thread", "turn"},
                                  .points = points,
                                  .count = count};
    each(closure, &figure);
}

/* What loops count that have such. */
static void show_loop_resources(const struct figures *figures, bool requests, showing *each,
                                void *closure)
{
    struct figure_point points[FIGURE_LOOPS];
    size_t count = 0;
    for (size_t i = 0; i < figures->loop_count; i++) {
        const struct loop_figures *loop = &figures->loops[i];
        if (loop->resources)
            points[count++] = (struct figure_point){
                .labels = {loop->name}, .value = requests ? loop->requests : loop->handles};
    }
    const struct figure figure = {.name = requests ? "eventloop_requests" : "eventloop_handles",
                                  .help = requests
                                              ? "Requests of an event loop that are under way."
                                              : "Open handles that keep an event loop going.",
                                  .kind = FIGURE_LEVEL,
                                  .unit = FIGURE_PLAIN,
                                  .labels = {"thread"},
                                  .points = points,
                                  .count = count};
    each(closure, &figure);
}

static void show_population(const struct figures *figures, showing *each, void *closure)
{
    const struct cprof_population *there = &figures->population;
    const struct {
        const char *name, *help;
        int64_t value;
    } levels[] = {{"tasks", "Tasks of asyncio that have not ended.", there->tasks},
                  {"fibers", "Fibers that have not ended.", there->fibers},
                  {"greenlets", "Greenlets that there are.", there->greenlets}};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        const struct figure_point point = {.value = (uint64_t)levels[i].value};
        const struct figure figure = {.name = levels[i].name,
                                      .help = levels[i].help,
                                      .kind = FIGURE_LEVEL,
                                      .points = &point,
                                      .count = levels[i].value >= 0};
        each(closure, &figure);
    }
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
    show_loop_levels(figures, each, closure);
    show_loop_time(figures, each, closure);
    show_loop_turns(figures, each, closure);
    show_loop_resources(figures, false, each, closure);
    show_loop_resources(figures, true, each, closure);
    show_population(figures, each, closure);
}
