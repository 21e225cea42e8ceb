/*
 * How long threads did not run, by state and reason, for scrapers: the seconds of a process's
 * waits since its start, where off-CPU time is profiled (CPROF_TYPES=offcpu or wall). There are
 * few reasons; what is past WAIT_SERIES adds up in the last.
 *
 * The collector counts; any thread reads. All memory lies within the struct.
 */
#ifndef CPROF_COLLECT_WAIT_TOTALS_H
#define CPROF_COLLECT_WAIT_TOTALS_H

#include <pthread.h>

#include "profile/profile.h"

#define WAIT_SERIES 24
#define WAIT_WORD 24

struct wait_series {
    char state[WAIT_WORD], reason[WAIT_WORD]; /* as the samples' labels say; "": none */
    int64_t ns;
};

struct wait_totals {
    pthread_mutex_t lock;
    struct wait_series series[WAIT_SERIES];
    size_t count;
};

/* Also in the child of a fork, whatever the parent's threads did at that time. */
void wait_totals_init(struct wait_totals *totals);

/* [collector] An interval has been closed. */
void wait_totals_count(struct wait_totals *totals, const struct profile *interval);

/* Copies the series that there are; their number. */
size_t wait_totals_read(struct wait_totals *totals, struct wait_series series[WAIT_SERIES]);

#endif
