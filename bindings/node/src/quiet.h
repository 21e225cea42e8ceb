/*
 * A stretch of a thread in which no sample is taken on it, for changes to what the handler
 * uses. The kernel itself is asked to block all signals: pthread_sigmask() leaves out the C
 * library's own, by one of which cprof samples.
 */
#ifndef CPROF_NODE_QUIET_H
#define CPROF_NODE_QUIET_H

#include <signal.h>
#include <stdint.h>

#include "cprof/syscall.h"

/* What is to be given to quiet_end(), on the same thread. */
static inline uint64_t quiet_begin(void)
{
    const uint64_t all = UINT64_MAX;
    uint64_t before = 0;
    cprof_syscall(SYS_rt_sigprocmask, SIG_BLOCK, (uintptr_t)&all, (uintptr_t)&before,
                  sizeof all, 0, 0);
    return before;
}

static inline void quiet_end(uint64_t before)
{
    cprof_syscall(SYS_rt_sigprocmask, SIG_SETMASK, (uintptr_t)&before, 0, sizeof before, 0, 0);
}

#endif
