/*
 * What the calling thread knows of itself: its record in the registry, and whether it is taking
 * a sample. In thread-local memory that is there from the thread's start (cprof/sample.h).
 *
 * A signal handler and a hook in ordinary code write to one ring. As both run on its thread,
 * only nesting is to be kept out: the mark says that a take is under way. A hook that finds it
 * set takes nothing; a handler that finds it set leaves its expiries to the thread's backlog,
 * which the next sample carries.
 *
 * The registry may end a record at any time, and give it to another thread. So who is about to
 * use his own first marks it (threads_begin()) and then looks whether its life is still the one
 * that he knows; who ends it takes the life away first and then looks for marks.
 *
 * Handler code.
 */
#ifndef CPROF_SAMPLE_SELF_H
#define CPROF_SAMPLE_SELF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cprof/sample.h"
#include "sample/thread.h"

struct self {
    struct thread *thread;         /* NULL: not known yet */
    uint64_t life;                 /* that it had then */
    uint64_t random;               /* countdown.h; 0: to be seeded */
    uint64_t period[CPROF_EVENTS]; /* that what is left was drawn with; 0: none was */
    uint8_t crowded[CPROF_EVENTS]; /* samples since its ring has been half full: see hook.h */
    bool expecting;                /* cprof_expect_block() */
    const void *expected;
    volatile bool taking;
};

extern CPROF_THREAD_LOCAL struct self self_of_thread;

/* Begins a take: false when one is under way already. */
static inline bool self_begin(void)
{
    if (self_of_thread.taking)
        return false;
    self_of_thread.taking = true;
    atomic_signal_fence(memory_order_seq_cst);
    return true;
}

static inline void self_end(void)
{
    atomic_signal_fence(memory_order_seq_cst);
    self_of_thread.taking = false;
}

/* The calling thread's record, marked as with threads_begin(): the caller takes the mark back.
 * NULL: it has none, or is not to be sampled. */
struct thread *self_record(void);

#endif
