/*
 * The registry of the threads that are sampled: which there are, each with its record
 * (thread.h), and who of them is sampled.
 *
 * A thread past THREADS_MAX, or one for which no timer was to be had (arming.h), stays
 * unsampled: counted in threads_counts.unsampled, reported once, tried again at each scan. So
 * do all while there is no memory for a single ring.
 *
 * Threads are found by threads_scan() (a few times a second, by the collector) and by
 * threads_enter() (the thread itself, at once). Both take the registry's mutex; handlers
 * never do. Of thousands of threads, a turn of the collector looks at those that are awake
 * (awake.h), and a scan at a part of the others. When a thread is due for a sample, and what it
 * is owed, is due.h's.
 *
 * cprof's own threads carry names that begin with OWN_THREAD_PREFIX and are never sampled;
 * threads that they start inherit the name, so those are not either.
 */
#ifndef CPROF_SAMPLE_THREADS_H
#define CPROF_SAMPLE_THREADS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/budget.h"
#include "sample/awake.h"
#include "sample/lease.h"
#include "sample/ring.h"
#include "sample/thread.h"
#include "unwind/modules.h"

struct threads_config {
    bool forked; /* in the child of a fork: no thread is older than that, and what it has run
                    before threads_arm() counts for its first samples */
    bool kernel; /* samples are to have the kernel's frames (kernel_frames.h) */
    size_t record_max;
    struct budget *budget;
};

/* Totals over living and dead threads since threads_open(). */
struct threads_counts {
    uint64_t signals, overruns, dropped, handler_ns, handler_ns_max;
    uint64_t sampled;   /* threads with a timer now */
    uint64_t unsampled; /* threads without that should have one */
    uint64_t no_kernel; /* threads whose samples are to have kernel frames and can't */
};

/* Opens the registry: from now on threads can enter. The previous run's must be closed. */
void threads_open(const struct threads_config *config);

/* Threads get timers that send this signal, which they can block if it is `maskable`
 * (install.h); those that are known get theirs now. Once a run. */
void threads_arm(int signal, bool maskable, uint64_t period_ns);

/* Takes the timers away for the rest of the run; threads go on being known. */
void threads_unarm(void);

/* Takes every timer away and lets no thread enter any more. Handlers may still be running;
 * rings can still be read. */
void threads_disarm(void);

/* From now on timers send this signal, a maskable one; those that there are get new ones. */
void threads_move(int signal);

/* No kernel frames any more (kernel_frames.h): all threads have their timers. */
void threads_drop_kernel(void);

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
    struct ring *ring; /* may be NULL */
    uint64_t id, identity;
    char name[THREAD_NAME_SIZE];
};

/* [collector] The interval is about to end: what threads that have left are owed, and no other
 * has taken over, is to be counted now. */
void threads_settle(void);

/* [collector] Once a turn, after all that was to be read has been: takes rings back from those
 * that have been idle for a second, or at once where rings are short, and sees that there are
 * some for others. */
void threads_supply(void);

/* [collector] The next thread at or after *cursor whose ring holds records, or that is owed
 * something; moves *cursor past it. Frees the records of threads that left and whose ring has
 * been read. */
bool threads_next(size_t *cursor, struct thread_view *view);

/* [collector] The next thread at or after *cursor that lives, is not cprof's own, and is
 * wanted; moves *cursor past it. Its record is not freed until the next call of this or of
 * threads_next(). `wanted` is asked under the registry's mutex. */
bool threads_living(size_t *cursor, bool (*wanted)(void *closure, const struct thread *thread),
                    void *closure, struct thread_view *view);

/* Are there threads that the registry does not know, or did it miss that some have ended? */
bool threads_differ(void);

/* [collector] Now and then: notes who has run since the last time, so that a dump knows for how
 * long a thread has not. Half a microsecond a thread; where that would cost much, most calls
 * do nothing. */
void threads_still(void);

/* [collector] The name of a thread that lives, or has just ended; "": it has none, or is not
 * known. */
void threads_name(pid_t tid, char name[THREAD_NAME_SIZE]);

/* [collector] The thread that threads_next() has shown may have got a new name since then. */
void threads_look_again(struct thread_view *view);

/* The reader slot at `index`, for modules_refresh(); NULL past the last. `closure` unused. */
struct modules_reader *threads_reader(void *closure, size_t index);

void threads_count(struct threads_counts *counts);

/* Where handlers find rings. */
extern struct shelf threads_shelf;

/* True while a handler is at work with any record; what those that have ended sampled can be
 * read. Others may begin meanwhile, until threads_disarm(). */
bool threads_busy(void);

/* Waits until none is. 0, or -ETIMEDOUT after a second: a thread is stopped or traced, and all
 * that its handler may look at is to be left alone for ever. */
int threads_wait(void);

/* Around fork. The child forgets all threads: their timers do not exist there. */
void threads_fork_prepare(void);
void threads_fork_parent(void);
void threads_fork_child(void);

#endif
