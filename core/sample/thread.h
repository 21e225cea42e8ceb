/*
 * A sampled thread's record: its timer's names, what its handler counts, and while it runs a
 * ring (lease.h). Who writes which part is said beside it.
 *
 * Records live in one static array for the life of the process, so a signal that was queued
 * for a thread long gone still finds memory; the timer's value names the record and its
 * generation, and a handler that arrives with an old generation leaves at once.
 *
 * Life of a record: FREE → SAMPLED → LEAVING (no timer any more, ring still to be read) → FREE.
 */
#ifndef CPROF_SAMPLE_THREAD_H
#define CPROF_SAMPLE_THREAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sample/lease.h"
#include "sample/timer.h"
#include "unwind/modules.h"
#include "unwind/walk.h"

#define THREADS_SHIFT 14 /* bits of a record's index */
#define THREADS_MAX (1 << THREADS_SHIFT)
#define THREAD_NAME_SIZE 64

enum thread_state {
    THREAD_FREE,
    THREAD_UNARMED, /* no timer to be had: tried again */
    THREAD_OWN,     /* cprof's own: never sampled */
    THREAD_SAMPLED,
    THREAD_LEAVING, /* no timer any more; ring not yet read to its end */
};

/* Written by the thread's own handler and hooks only, read by anybody. */
struct thread_counts {
    _Atomic uint64_t signals;    /* handler runs */
    _Atomic uint64_t overruns;   /* expiries beyond the first of a signal; and the backlog */
    _Atomic uint64_t dropped;    /* weight lost because the ring was full, or none left */
    _Atomic uint64_t handler_ns; /* in all runs */
    _Atomic uint64_t handler_ns_max;
};

/* Where a thread was last, as the gatherer knows it. */
struct thread_last {
    uint64_t interval; /* whose profile the ids belong to; 0: it was not sampled yet */
    uint64_t time_ns;  /* CLOCK_MONOTONIC: of the sample; 0: of none */
    uint32_t stack, link, label_set;
    uint32_t wait; /* what it waited for (look/waits.h); 0: a sample of CPU time */
};

struct thread {
    /* What the handler reads and writes. */
    _Atomic uint64_t generation; /* of the armed timer; 0 = none */
    _Atomic uint32_t handlers;   /* handlers and hooks at work with this record */
    struct lease lease;
    _Atomic pid_t tid;     /* set before the timer is armed */
    _Atomic uint64_t life; /* of this thread's record, as hooks know it; 0: it is over, or the
                              thread is not to be sampled. See self.h */
    _Atomic uint32_t backlog; /* expiries that a timer would have had before ours */
    void *_Atomic data;       /* cprof_thread_set_data() */
    struct stack_bounds bounds;
    struct modules_reader reader;
    struct thread_counts counts;

    /* The collector's. */
    struct thread_last last;
    /* Its CPU clock stands at this since then (CLOCK_MONOTONIC) at the latest: threads_still().
     */
    uint64_t still_ran_ns, still_since_ns;
    /* Expiries that the registry adds, to be counted: where it was last, and with its signals
     * blocked. */
    _Atomic uint32_t owed, blocked;

    /* The registry's, under its mutex. */
    enum thread_state state;
    struct thread_timer timer;
    bool planned;          /* what follows is known: its account, see account.h */
    int64_t due_ns;        /* when, of its CPU time, it was due for the first of its samples */
    int64_t began_ns;      /* late_ns when that was opened */
    bool held;             /* by an account that waits */
    uint64_t id;           /* thread.id: the runtime's id, else the tid */
    uint64_t identity;     /* never the same for two threads, nor for two names of one */
    bool named;            /* by threads_enter(): the kernel's name does not count */
    uint8_t age;           /* scans survived, up to 2 */
    uint8_t masked;        /* looks in a row that found it to block our signal, up to 2 */
    uint64_t seen_ns;      /* its CPU time at the last look */
    uint64_t named_ns;     /* and when its name was read */
    uint64_t counted;      /* its signals at the last look */
    uint32_t naming;       /* the last scan with `rename` that its name is from */
    uint8_t idle;          /* ticks that its ring has not been used, up to RING_IDLE_TICKS */
    uint32_t listing;      /* the last directory listing that held the tid */
    _Atomic uint16_t next; /* in the tid's hash chain: index + 1, 0 ends (by_tid.h) */
    char name[THREAD_NAME_SIZE];
};

extern struct thread thread_records[THREADS_MAX];

static inline size_t thread_index(const struct thread *thread)
{
    return (size_t)(thread - thread_records);
}

/* What the timer sends with its signal; a handler gets the record and the generation of it. */
static inline uint64_t thread_value(const struct thread *thread, uint64_t generation)
{
    return generation << THREADS_SHIFT | thread_index(thread);
}

static inline struct thread *threads_of_value(uint64_t value, uint64_t *generation)
{
    *generation = value >> THREADS_SHIFT;
    return &thread_records[value & (THREADS_MAX - 1)];
}

static inline uint64_t thread_count(const _Atomic uint64_t *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

/* Expiries that its samples stand for. */
static inline uint64_t thread_expiries(const struct thread *thread)
{
    return thread_count(&thread->counts.signals) + thread_count(&thread->counts.overruns);
}

/* Is there something to be counted that no signal brought? */
static inline bool thread_is_owed(const struct thread *thread)
{
    return atomic_load(&thread->owed) != 0 || atomic_load(&thread->blocked) != 0;
}

#endif
