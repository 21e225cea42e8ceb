/*
 * Who waits for which of Python's locks now, by the lock's address. Bounded; all of it under
 * the GIL of the main interpreter, but for waiters_any().
 */
#ifndef CPROF_PYTHON_WAITERS_H
#define CPROF_PYTHON_WAITERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { WAITERS_MAX = 4096, WAITERS_HEADS = 1024 }; /* a power of two */

struct waiter {
    uintptr_t lock;
    uint64_t since_ns; /* he waits, or somebody has been blamed */
    pid_t holder;      /* who let the lock go last; 0: nobody yet */
    uint16_t next;     /* in its list, or of those that are free: index + 1 */
};

/* By the lock's address: index + 1 of the first waiter. */
extern uint16_t waiters_heads[WAITERS_HEADS];

static inline uint16_t *waiters_head(uintptr_t lock)
{
    return &waiters_heads[(lock >> 4 ^ lock >> 14) & (WAITERS_HEADS - 1)];
}

/* May somebody wait for it? */
static inline bool waiters_any(uintptr_t lock)
{
    return __builtin_expect(*(volatile uint16_t *)waiters_head(lock) != 0, 0);
}

/* The calling thread is going to wait. NULL: there is no room. */
struct waiter *waiters_add(uintptr_t lock, uint64_t now_ns);
/* It does not any more: who let the lock go last, 0 if nobody is known. */
pid_t waiters_remove(struct waiter *waiter);

/* The lock is let go: the nanoseconds that all who wait for it have waited, since then or since
 * the last time somebody let it go. */
uint64_t waiters_blame(uintptr_t lock, pid_t holder, uint64_t now_ns);

/* Nobody waits. */
void waiters_forget(void);

#endif
