/*
 * The threads being sampled: one record per thread with its timer, its ring and what its
 * handler counts.
 *
 * Records live in one static array for the life of the process, so a signal that was queued
 * for a thread long gone still finds memory; the timer's value names the record and its
 * generation, and a handler that arrives with an old generation leaves at once. A thread
 * past THREADS_MAX, or one for which no timer or ring was to be had, stays unsampled: counted
 * in threads_counts.unsampled, told once, tried again at each scan.
 *
 * Threads are found by threads_scan() (a few times a second, by the collector) and by
 * threads_enter() (the thread itself, at once). Both take the registry's mutex; handlers
 * never do. cprof's own threads carry names that begin with OWN_THREAD_PREFIX and are never
 * sampled; threads that they start inherit the name, so those are not either.
 *
 * A thread that a scan finds has already run for up to a scan's distance. The samples that it
 * would have had by then are its backlog, and go as additional weight with its first ones: so
 * totals hold, and threads that only live for some scans are not under-represented. One that
 * has left and goes on, as native threads do that wait for their next Ruby thread, is sampled
 * as if it had not left, once it enters or a scan finds it.
 *
 * Life of a record: FREE → SAMPLED → LEAVING (no timer any more, ring still to be read) → FREE.
 */
#ifndef CPROF_SAMPLE_THREADS_H
#define CPROF_SAMPLE_THREADS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/budget.h"
#include "sample/ring.h"
#include "sample/timer.h"
#include "unwind/modules.h"
#include "unwind/walk.h"

#define THREADS_SHIFT 12 /* bits of a record's index */
#define THREADS_MAX (1 << THREADS_SHIFT)
#define THREAD_NAME_SIZE 64

enum thread_state {
    THREAD_FREE,
    THREAD_UNARMED, /* no timer or no ring to be had: tried again */
    THREAD_OWN,     /* cprof's own: never sampled */
    THREAD_SAMPLED,
    THREAD_LEAVING, /* no timer any more; ring not yet read to its end */
};

/* Written by the thread's own handler only, read by anybody. */
struct thread_counts {
    _Atomic uint64_t signals;    /* handler runs */
    _Atomic uint64_t overruns;   /* expiries beyond the first of a signal; and the backlog */
    _Atomic uint64_t dropped;    /* weight lost because the ring was full */
    _Atomic uint64_t handler_ns; /* in all runs */
    _Atomic uint64_t handler_ns_max;
};

struct thread {
    /* What the handler reads and writes. */
    _Atomic uint64_t generation; /* of the armed timer; 0 = none */
    _Atomic uint32_t handlers;   /* handlers at work with this record */
    struct ring *ring;           /* both set before the timer is armed */
    pid_t tid;
    _Atomic uint32_t backlog; /* expiries that a timer would have had before ours */
    void *_Atomic data;       /* cprof_thread_set_data() */
    struct stack_bounds bounds;
    struct modules_reader reader;
    struct thread_counts counts;

    /* The registry's, under its mutex. */
    enum thread_state state;
    struct thread_timer timer;
    int64_t due_ns;    /* when, of its CPU time, it was due for the first of its samples */
    uint64_t id;       /* thread.id: the runtime's id, else the tid */
    uint64_t identity; /* never the same for two threads, nor for two names of one */
    bool named;        /* by threads_enter(): the kernel's name does not count */
    uint8_t age;       /* scans survived, up to 2 */
    uint32_t listing;  /* the last directory listing that held the tid */
    uint16_t next;     /* in the tid's hash chain: index + 1, 0 ends */
    char name[THREAD_NAME_SIZE];
};

struct threads_config {
    int signal;
    uint64_t period_ns;
    size_t record_max;
    struct budget *budget;
};

/* Totals over living and dead threads since threads_open(). */
struct threads_counts {
    uint64_t signals, overruns, dropped, handler_ns, handler_ns_max;
    uint64_t sampled;   /* threads with a timer now */
    uint64_t unsampled; /* threads without that should have one */
};

/* Opens the registry: from now on threads can enter. The previous run's must be closed. */
void threads_open(const struct threads_config *config);

/* Takes every timer away and lets no thread enter any more. Handlers may still be running;
 * rings can still be read. */
void threads_disarm(void);

/* Frees the rings. No handler may be running any more. */
void threads_close(void);

/* The calling thread: arms it now, or renames it. `id` 0 keeps the tid, a NULL name what the
 * kernel calls it. No effect when the registry is not open. */
void threads_enter(uint64_t id, const char *name);
/* Another thread's id and name; registers it if it lives. */
void threads_describe(pid_t tid, uint64_t id, const char *name);
void threads_leave(void);
void threads_set_data(void *data);

/* [collector] Finds new and ended threads. With `rename` it also reads the kernel's names
 * again. 0, or a negative errno when /proc can't be read (entered threads go on). */
int threads_scan(bool rename);

/* [collector] What a drain needs of one thread; `identity` keys what was made from name and
 * id. */
struct thread_view {
    struct thread *thread;
    struct ring *ring;
    uint64_t id, identity;
    char name[THREAD_NAME_SIZE];
};

/* [collector] The next thread at or after *cursor whose ring holds records; moves *cursor
 * past it. Frees the records of threads that left and whose ring has been read. */
bool threads_next(size_t *cursor, struct thread_view *view);

/* The reader slot at `index`, for modules_refresh(); NULL past the last. `closure` unused. */
struct modules_reader *threads_reader(void *closure, size_t index);

void threads_count(struct threads_counts *counts);

/* [handler] The record and the generation that a timer's value names. */
extern struct thread thread_records[THREADS_MAX];

static inline struct thread *threads_of_value(uint64_t value, uint64_t *generation)
{
    *generation = value >> THREADS_SHIFT;
    return &thread_records[value & (THREADS_MAX - 1)];
}

/* True while a handler is at work with any record; what those that have ended sampled can be
 * read. Others may begin meanwhile, until threads_disarm(). */
bool threads_busy(void);

/* Around fork. The child forgets all threads: their timers do not exist there. */
void threads_fork_prepare(void);
void threads_fork_parent(void);
void threads_fork_child(void);

#endif
