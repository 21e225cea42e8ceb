/*
 * How many tasks, fibers and greenlets the process has, as its runtime knows (cprof/asleep.h).
 * Counting goes through all of them: at most a POPULATION_SHARE-th of the time is spent on it,
 * less often where it takes long.
 *
 * The collector counts; any thread reads.
 */
#ifndef CPROF_COLLECT_POPULATION_H
#define CPROF_COLLECT_POPULATION_H

#include "cprof/asleep.h"
#include "cprof/runtime.h"

#define POPULATION_SHARE 2000

/* A run begins, or a forked child: nothing is known. */
void population_reset(void);

/* [collector] Counts, if that is due. The runtime may be NULL. */
void population_count(const struct cprof_runtime *runtime);

struct cprof_population population_read(void);

#endif
