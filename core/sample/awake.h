/*
 * Which threads are awake: a bit for each record that has a ring, that is owed something, or
 * with which a handler may be at work. There may be thousands of threads, of which nearly all
 * sleep: what is done at each turn of the collector goes through these only.
 *
 * Handlers and whoever owes something set a bit, the collector takes it away (awake_settle()).
 */
#ifndef CPROF_SAMPLE_AWAKE_H
#define CPROF_SAMPLE_AWAKE_H

#include "sample/thread.h"

extern _Atomic uint64_t threads_awake[THREADS_MAX / 64];

static inline uint64_t awake_bit(size_t index)
{
    return UINT64_C(1) << index % 64;
}

/* [handler] Marks a handler as being at work with the record, before it looks at anything. */
static inline void threads_begin(struct thread *thread)
{
    size_t index = thread_index(thread);
    uint64_t bit = awake_bit(index);
    atomic_fetch_add(&thread->handlers, 1);
    if ((atomic_load(&threads_awake[index / 64]) & bit) == 0)
        atomic_fetch_or(&threads_awake[index / 64], bit);
}

void awake_mark(const struct thread *thread);
bool awake_is(size_t index);

/* The first one at or after `index` of those below `end`; `end` when there is none. */
size_t awake_next(size_t index, size_t end);

/* Takes the bit away if the thread has nothing that is to be looked after. */
void awake_settle(const struct thread *thread);

#endif
