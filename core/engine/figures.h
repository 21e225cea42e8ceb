/*
 * What a process tells monitoring: cprof's own figures, the CPU seconds of the top functions,
 * the seconds of waits, event loops, how many tasks there are. One list for both ways that it
 * goes, the page /metrics (engine/exposition.h) and OTLP metrics (engine/otlp_metrics.h).
 *
 * The collector's thread counts; any thread reads.
 */
#ifndef CPROF_ENGINE_FIGURES_H
#define CPROF_ENGINE_FIGURES_H

#include "collect/collector.h"
#include "collect/hot_functions.h"
#include "collect/population.h"
#include "collect/wait_totals.h"
#include "cprof/cprof.h"
#include "sample/loops.h"

enum figure_kind {
    FIGURE_COUNT,
    FIGURE_LEVEL,
    FIGURE_MEAN
}; /* as CPROF_STATS_FIELDS has them */
enum figure_unit { FIGURE_PLAIN, FIGURE_SECONDS, FIGURE_BYTES };

#define FIGURE_LABELS 2
#define FIGURE_POINTS 64 /* of one figure at most */
#define FIGURE_TOTALS 3
#define FIGURE_LOOPS 16 /* event loops; from there on they are the last one together */

struct figure_point {
    const char *labels[FIGURE_LABELS]; /* values; NULL: it has none */
    uint64_t value;                    /* nanoseconds where the unit is seconds */
};

struct figure {
    const char *name; /* without prefix, unit and what is added to counts: "collector_cpu" */
    const char *help;
    enum figure_kind kind;
    enum figure_unit unit;
    const char *labels[FIGURE_LABELS]; /* keys */
    const struct figure_point *points;
    size_t count; /* 0: of a type that does not run, or nothing yet */
};

struct figures {
    struct cprof_stats stats;
    struct hot_series functions[HOT_SERIES];
    struct wait_series waits[WAIT_SERIES];
    size_t function_count, wait_count;
    int64_t totals[FIGURE_TOTALS]; /* of whole types; negative: nothing yet */
    struct loop_figures loops[FIGURE_LOOPS];
    size_t loop_count;
    struct cprof_population population;
};

/* A run begins. */
void figures_reset(void);

/* [collector] An interval has been closed. The runtime may be NULL. */
void figures_count(const struct profile *interval, const struct cprof_runtime *runtime);

void figures_read(struct collector *collector, struct figures *figures);

/* Shows them one after another; what `each` is given lasts until it returns. */
void figures_each(const struct figures *figures,
                  void (*each)(void *closure, const struct figure *figure), void *closure);

#endif
