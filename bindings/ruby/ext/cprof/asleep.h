/*
 * Threads that sleep, as looks of the collector see them, without the GVL and without waking
 * them (cprof/asleep.h): their frames, span and labels, and whether they wait for the GVL.
 *
 * What a look needs to know of a native thread lies in variables of that thread, of which it
 * gives the core the addresses (asleep_here) when it begins to run a Ruby thread. One that has
 * slept since before the start has not done so yet: those are listed when the profiler starts,
 * ASLEEP_SINCE_START of them. What is more is seen once it has run.
 */
#ifndef CPROF_RUBY_ASLEEP_H
#define CPROF_RUBY_ASLEEP_H

#include <stdbool.h>
#include <sys/types.h>

#include <cprof/asleep.h>

#include "context.h"

enum { ASLEEP_SINCE_START = 1024 };

struct asleep_here {
    void *const *running; /* the rb_thread_t that it runs */
    const bool *over;     /* its context must not be looked at */
    const bool *waits;    /* for the GVL, where Ruby tells (3.2) */
    struct context_record *const *context;
};

extern const struct cprof_asleep asleep;

/* Under the GVL, at a start: forgets those that are listed; lists one. */
void asleep_none(void);
void asleep_since(pid_t tid, void *thread);

/* The calling native thread, wherever it is in Ruby: it is not one of those any more. */
void asleep_awake(pid_t tid);

#endif
