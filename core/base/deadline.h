/* Waiting for a mutex or a thread, but not for ever. */
#ifndef CPROF_BASE_DEADLINE_H
#define CPROF_BASE_DEADLINE_H

#include <pthread.h>
#include <stdbool.h>

#include "base/clock.h"

/* The moment `seconds` from now, as the pthread functions want it. */
static inline struct timespec time_in(double seconds)
{
    uint64_t until = clock_ns(CLOCK_REALTIME) + (uint64_t)(seconds * (double)NS_PER_SECOND);
    return (struct timespec){.tv_sec = (time_t)(until / NS_PER_SECOND),
                             .tv_nsec = (long)(until % NS_PER_SECOND)};
}

static inline bool lock_within(pthread_mutex_t *mutex, double seconds)
{
    const struct timespec until = time_in(seconds);
    return pthread_mutex_timedlock(mutex, &until) == 0;
}

#endif
