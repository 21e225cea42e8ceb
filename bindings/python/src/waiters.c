#include "waiters.h"

#include <stddef.h>
#include <string.h>

uint16_t waiters_heads[WAITERS_HEADS];

static struct waiter waiters[WAITERS_MAX];
static uint16_t used;       /* that were ever in a list */
static uint16_t first_free; /* index + 1; 0: none */

struct waiter *waiters_add(uintptr_t lock, uint64_t now_ns)
{
    uint16_t *head = waiters_head(lock);
    uint16_t number = first_free;

    if (number != 0)
        first_free = waiters[number - 1].next;
    else if (used < WAITERS_MAX)
        number = ++used;
    else
        return NULL;
    waiters[number - 1] = (struct waiter){.lock = lock, .since_ns = now_ns, .next = *head};
    *head = number;
    return &waiters[number - 1];
}

pid_t waiters_remove(struct waiter *waiter)
{
    const uint16_t number = (uint16_t)(waiter - waiters + 1);
    uint16_t *place = waiters_head(waiter->lock);

    while (*place != number && *place != 0)
        place = &waiters[*place - 1].next;
    if (*place == 0)
        return 0; /* all were forgotten */
    *place = waiter->next;
    waiter->next = first_free;
    first_free = number;
    return waiter->holder;
}

uint64_t waiters_blame(uintptr_t lock, pid_t holder, uint64_t now_ns)
{
    uint64_t waited = 0;

    for (uint16_t number = *waiters_head(lock); number != 0;
         number = waiters[number - 1].next) {
        struct waiter *waiter = &waiters[number - 1];

        if (waiter->lock != lock)
            continue;
        waited += now_ns - waiter->since_ns;
        waiter->since_ns = now_ns;
        waiter->holder = holder;
    }
    return waited;
}

void waiters_forget(void)
{
    memset(waiters_heads, 0, sizeof waiters_heads);
    used = first_free = 0;
}
