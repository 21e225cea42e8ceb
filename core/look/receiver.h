/*
 * Where looks count what they have seen. All on the collector's thread.
 */
#ifndef CPROF_LOOK_RECEIVER_H
#define CPROF_LOOK_RECEIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "look/wait.h"
#include "sample/record.h"
#include "sample/threads.h"

struct looks_receiver {
    void *closure;
    /* A thread waits at a place that is in *where from now on. 0; -EAGAIN: the runtime will
     * know a frame's name later, if it `may_wait`. */
    int (*place)(void *closure, const struct thread_view *thread, const struct record *record,
                 const struct wait *wait, bool may_wait, struct thread_last *where);
    /* It has waited there for so long, which is not 0. NULL: nobody knows where. At a native
     * lock, so often; else 0. */
    void (*waited)(void *closure, const struct thread_view *thread,
                   const struct thread_last *where, uint32_t microseconds, uint32_t times);
    /* A thread has waited there for so long for a lock that `holder` had, who was here, or ran:
     * NULL. A receiver without it does not ask who. */
    void (*blamed)(void *closure, const struct thread_last *where,
                   const struct thread_view *holder, const struct thread_last *here,
                   uint32_t microseconds);
    /* It could have run, and had no CPU. */
    void (*delayed)(void *closure, const struct thread_view *thread, uint32_t microseconds);
};

#endif
