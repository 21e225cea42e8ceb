/*
 * Who waits for which of an interpreter's locks now, by the lock's address: for the hooks of
 * bindings where their threads wait (sample.h). Whoever waits is listed while he does, so that
 * who lets the lock go meanwhile can say who he is, and learns whom he has kept waiting.
 *
 * Bounded: past WAITERS_MAX waits are counted all the same, without that. All of it under the
 * interpreter's lock, but for cprof_has_waiters().
 */
#ifndef CPROF_WAITERS_H
#define CPROF_WAITERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cprof/sample.h"

enum { WAITERS_MAX = 4096, WAITERS_HEADS = 1024 }; /* a power of two */

/* By the lock's address: index + 1 of the first waiter. */
extern uint16_t cprof_waiters_heads[WAITERS_HEADS];

static inline uint16_t *cprof_waiters_head(uintptr_t lock)
{
    return &cprof_waiters_heads[(lock >> 4 ^ lock >> 14) & (WAITERS_HEADS - 1)];
}

/* May somebody wait for it? */
static inline bool cprof_has_waiters(uintptr_t lock)
{
    return __builtin_expect(*(volatile uint16_t *)cprof_waiters_head(lock) != 0, 0);
}

/* A wait of the calling thread, on its stack. */
struct cprof_waiter {
    uint64_t since_ns;
    uintptr_t lock;
    uint16_t listed; /* its place in the list, index + 1; 0: it has none */
    unsigned age;    /* of the list */
};

/* It is going to wait. One whose end may never be reported is not to be listed. */
void cprof_wait_begins(struct cprof_waiter *waiter, uintptr_t lock, bool listed);

/* It does not any more: the nanoseconds that it has waited, and what is known of the lock. */
uint64_t cprof_wait_ends(const struct cprof_waiter *waiter, struct cprof_waited *of);

/* The lock is let go by `holder`: the nanoseconds that all who wait for it have waited, since
 * then or since the last time somebody let it go. */
uint64_t cprof_lets_go(uintptr_t lock, pid_t holder);

/* In a fork's child: nobody waits. Waits of before may end all the same. */
void cprof_waiters_child(void);

#endif
