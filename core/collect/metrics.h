/*
 * cprof's own figures as attributes of each profile: "cprof.samples" and so on, those of
 * stats() and some that only profiles carry.
 *
 * Counters say what the interval added, the number of threads is the most that there were, the
 * others stand as they are. The collector attaches them when it closes an interval, which may
 * be full by then: metrics_reserve() has made their places in the model of all profiles.
 */
#ifndef CPROF_COLLECT_METRICS_H
#define CPROF_COLLECT_METRICS_H

#include <stdint.h>

#include "profile/metric_fields.h"
#include "profile/profile.h"

struct metrics {
    struct cprof_stats stats;
    PROFILE_ONLY_FIELDS(CPROF_STATS_FIELD)
};

/* Out of memory is remembered in profile_error(). */
void metrics_reserve(struct profile *model);

/* Where kernel frames are asked for: threads whose samples can't have them. */
void metrics_attach_kernel(struct profile *profile, uint64_t threads);

/* *last is what stood at the interval before's end, and becomes *now. */
void metrics_attach(struct profile *profile, const struct metrics *now, struct metrics *last);

#endif
