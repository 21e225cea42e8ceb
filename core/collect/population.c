#include "collect/population.h"

#include <stdatomic.h>

#include "base/clock.h"

static _Atomic int64_t tasks, fibers, greenlets;
static uint64_t not_before; /* the collector's */

static void publish(const struct cprof_population *population)
{
    atomic_store(&tasks, population->tasks);
    atomic_store(&fibers, population->fibers);
    atomic_store(&greenlets, population->greenlets);
}

void population_reset(void)
{
    not_before = 0;
    publish(&CPROF_POPULATION_UNKNOWN);
}

void population_count(const struct cprof_runtime *runtime)
{
    struct cprof_population counted = CPROF_POPULATION_UNKNOWN;
    const uint64_t now = clock_ns(CLOCK_MONOTONIC), began = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    if (runtime == NULL || runtime->asleep == NULL || runtime->asleep->count == NULL ||
        now < not_before)
        return;
    runtime->asleep->count(&counted);
    publish(&counted);
    not_before = now + (clock_ns(CLOCK_THREAD_CPUTIME_ID) - began) * POPULATION_SHARE;
}

struct cprof_population population_read(void)
{
    return (struct cprof_population){.tasks = atomic_load(&tasks),
                                     .fibers = atomic_load(&fibers),
                                     .greenlets = atomic_load(&greenlets)};
}
