/*
 * The CPU seconds of a process's top functions, for scrapers: at most HOT_SERIES of them,
 * stable over time. A function gets a series when it has taken a hundredth of an interval's CPU
 * in HOT_HITS intervals, so that what only starts the program gets none; then it keeps it for
 * good. What has no series adds up as "other": the sum of all is the CPU time of all samples.
 *
 * A function is what its samples stand in: the innermost frame, or the method that called it
 * where that is the interpreter's own (profile/fold.h).
 *
 * The collector counts; any thread reads. All memory lies within the struct.
 */
#ifndef CPROF_COLLECT_HOT_FUNCTIONS_H
#define CPROF_COLLECT_HOT_FUNCTIONS_H

#include <pthread.h>

#include "profile/profile.h"

#define HOT_SERIES 20 /* "other" is one of them */
#define HOT_HITS 3
#define HOT_CANDIDATES 256
#define HOT_NAME 128 /* bytes of a name, with its end */

struct hot_series {
    uint64_t id;                               /* hash of both names */
    char function[HOT_NAME], module[HOT_NAME]; /* UTF-8; the file of an interpreted one */
    int64_t cpu_ns;
};

struct hot_functions {
    pthread_mutex_t lock;
    struct hot_series series[HOT_SERIES]; /* the first is "other" */
    size_t count;
    struct hot_candidate {
        uint64_t id;
        uint32_t hits;
    } candidates[HOT_CANDIDATES];
};

/* Also in the child of a fork, whatever the parent's threads did at that time. */
void hot_init(struct hot_functions *hot);

/* [collector] An interval has been closed. */
void hot_count(struct hot_functions *hot, const struct profile *interval);

/* Copies the series that there are; their number. */
size_t hot_read(struct hot_functions *hot, struct hot_series series[HOT_SERIES]);

#endif
