/*
 * Waking one waiting thread by a word of memory. A futex and not an eventfd: hosts close
 * descriptors they do not know (daemonizing, closefrom), and a write to a number that has
 * been reused would land in somebody's file.
 *
 * wake_post() may be called from a signal handler: one system call, errno is the caller's to
 * save.
 */
#ifndef CPROF_SAMPLE_WAKE_H
#define CPROF_SAMPLE_WAKE_H

#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

static inline void wake_waiters(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static inline void wake_post(_Atomic uint32_t *word)
{
    atomic_fetch_add_explicit(word, 1, memory_order_release);
    wake_waiters(word);
}

/* Returns when the word differs from `seen`, after `timeout_ns`, or for no reason. */
static inline void wake_wait(_Atomic uint32_t *word, uint32_t seen, uint64_t timeout_ns)
{
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / NS_PER_SECOND),
                               .tv_nsec = (long)(timeout_ns % NS_PER_SECOND)};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, &timeout, NULL, 0);
}

#endif
