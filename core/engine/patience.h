/* Waiting for a mutex, but not for ever. */
#ifndef CPROF_ENGINE_PATIENCE_H
#define CPROF_ENGINE_PATIENCE_H

#include <pthread.h>
#include <stdbool.h>

#include "base/clock.h"

static inline bool lock_within(pthread_mutex_t *mutex, unsigned milliseconds)
{
    uint64_t until = clock_ns(CLOCK_REALTIME) + milliseconds * 1000000ULL;
    const struct timespec when = {.tv_sec = (time_t)(until / NS_PER_SECOND),
                                  .tv_nsec = (long)(until % NS_PER_SECOND)};
    return pthread_mutex_timedlock(mutex, &when) == 0;
}

#endif
