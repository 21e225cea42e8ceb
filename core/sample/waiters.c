#include "cprof/waiters.h"

#include <stddef.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

uint16_t cprof_waiters_heads[WAITERS_HEADS];

/* One who waits: a thread, or a task of an event loop. */
static struct listed {
    uintptr_t lock;
    uint64_t since_ns; /* he waits, or somebody has been blamed */
    pid_t holder;      /* who let the lock go last; 0: nobody yet */
    uint16_t next;     /* in its list, or of those that are free: index + 1 */
} list[WAITERS_MAX];

static uint16_t used;       /* that were ever in a list */
static uint16_t first_free; /* index + 1; 0: none */
static unsigned age;        /* how often it was forgotten */

/* 0: there is no room. */
static uint16_t add(uintptr_t lock, uint64_t now_ns)
{
    uint16_t *head = cprof_waiters_head(lock);
    uint16_t number = first_free;

    if (number != 0)
        first_free = list[number - 1].next;
    else if (used < WAITERS_MAX)
        number = ++used;
    else
        return 0;
    list[number - 1] = (struct listed){.lock = lock, .since_ns = now_ns, .next = *head};
    *head = number;
    return number;
}

static void take_out(uint16_t number)
{
    struct listed *gone = &list[number - 1];
    uint16_t *place = cprof_waiters_head(gone->lock);

    while (*place != number)
        place = &list[*place - 1].next;
    *place = gone->next;
    gone->next = first_free;
    first_free = number;
}

void cprof_wait_begins(struct cprof_waiter *waiter, uintptr_t lock, bool listed)
{
    *waiter =
        (struct cprof_waiter){.since_ns = clock_ns(CLOCK_MONOTONIC), .lock = lock, .age = age};
    if (listed)
        waiter->listed = add(lock, waiter->since_ns);
}

uint64_t cprof_wait_ends(const struct cprof_waiter *waiter, struct cprof_waited *of)
{
    *of = (struct cprof_waited){.lock = waiter->lock};
    if (waiter->listed != 0 && waiter->age == age) {
        of->holder = list[waiter->listed - 1].holder;
        take_out(waiter->listed);
    }
    return clock_ns(CLOCK_MONOTONIC) - waiter->since_ns;
}

uint64_t cprof_lets_go(uintptr_t lock, pid_t holder)
{
    uint64_t waited = 0, now = clock_ns(CLOCK_MONOTONIC);

    for (uint16_t number = *cprof_waiters_head(lock); number != 0;
         number = list[number - 1].next) {
        struct listed *waiter = &list[number - 1];

        if (waiter->lock != lock)
            continue;
        waited += now - waiter->since_ns;
        waiter->since_ns = now;
        waiter->holder = holder;
    }
    return waited;
}

void cprof_waiters_child(void)
{
    memset(cprof_waiters_heads, 0, sizeof cprof_waiters_heads);
    used = first_free = 0;
    age++;
}
