/*
 * What handlers count of their thread's expiries. Handler code: only the thread whose record it
 * is calls these.
 */
#ifndef CPROF_SAMPLE_EXPIRIES_H
#define CPROF_SAMPLE_EXPIRIES_H

#include <stdatomic.h>
#include <stdint.h>

#include "sample/thread.h"

/* Only the thread that owns the counter writes it. */
static inline void expiries_add(_Atomic uint64_t *counter, uint64_t amount)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + amount, memory_order_relaxed);
}

/* The part of the thread's backlog that goes with this sample: half, so that what a thread ran
 * before it was found is spread over its first samples, and yet soon handed out. */
static inline uint32_t expiries_take_backlog(struct thread *thread)
{
    uint32_t backlog = atomic_load_explicit(&thread->backlog, memory_order_relaxed);
    uint32_t part = (backlog + 1) / 2;
    if (part != 0)
        atomic_store_explicit(&thread->backlog, backlog - part, memory_order_relaxed);
    return part;
}

/* In the middle of a hook's take: the next sample has to stand for these too. */
static inline void expiries_owe(struct thread *thread, uint32_t expiries)
{
    uint32_t backlog = atomic_load_explicit(&thread->backlog, memory_order_relaxed);
    atomic_store_explicit(&thread->backlog, backlog + expiries, memory_order_relaxed);
}

/* A handler has run, and took so many nanoseconds. */
static inline void expiries_count_run(struct thread_counts *counts, uint32_t weight,
                                      uint64_t took)
{
    expiries_add(&counts->signals, 1);
    expiries_add(&counts->overruns, weight - 1);
    expiries_add(&counts->handler_ns, took);
    if (took > atomic_load_explicit(&counts->handler_ns_max, memory_order_relaxed))
        atomic_store_explicit(&counts->handler_ns_max, took, memory_order_relaxed);
}

#endif
