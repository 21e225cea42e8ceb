#include "look/waits.h"

#include <stdbool.h>
#include <string.h>

#include "base/hash.h"

const char *wait_state_word(enum wait_state state)
{
    static const char *const words[WAIT_STATES] = {
        [WAIT_RUNNING] = "running", [WAIT_RUNNABLE] = "runnable", [WAIT_WAITING] = "waiting"};
    return state < WAIT_STATES ? words[state] : NULL;
}

const char *wait_reason_word(enum cprof_wait reason)
{
    static const char *const words[CPROF_WAITS] = {
        [CPROF_WAIT_IO] = "io",       [CPROF_WAIT_LOCK] = "lock",
        [CPROF_WAIT_GIL] = "gil",     [CPROF_WAIT_GVL] = "gvl",
        [CPROF_WAIT_SLEEP] = "sleep", [CPROF_WAIT_IDLE] = "idle",
        [CPROF_WAIT_CHILD] = "child", [CPROF_WAIT_PAGE_FAULT] = "page_fault",
        [CPROF_WAIT_DISK] = "disk"};
    return reason < CPROF_WAITS ? words[reason] : NULL;
}

static uint32_t plain_number(const struct wait *wait)
{
    switch (wait->state) {
    case WAIT_RUNNING:
        return WAITS_RUNNING;
    case WAIT_RUNNABLE:
        return WAITS_RUNNABLE;
    case WAIT_BLAMED:
        return WAITS_OF_BLAME(wait->reason);
    default:
        return wait->task ? WAITS_OF_TASK(wait->reason) : WAITS_OF_REASON(wait->reason);
    }
}

static bool is_same(const struct wait *a, const struct wait *b)
{
    return a->state == b->state && a->reason == b->reason && a->task == b->task &&
           a->holder == b->holder && a->holder_kind == b->holder_kind && a->lock == b->lock &&
           strcmp(a->peer, b->peer) == 0 && strcmp(a->site, b->site) == 0;
}

static bool is_detailed(const struct wait *wait)
{
    bool waited = wait->state == WAIT_WAITING || wait->state == WAIT_BLAMED;
    return waited && (wait->peer[0] != '\0' || wait->site[0] != '\0' || wait->lock != 0 ||
                      wait->holder != 0 || wait->holder_kind != 0);
}

uint32_t waits_number(struct waits *waits, const struct wait *wait)
{
    if (!is_detailed(wait))
        return plain_number(wait);
    uint64_t hash = hash_combine(hash_bytes(wait->peer, strlen(wait->peer)), wait->lock);
    hash = hash_combine(hash, hash_bytes(wait->site, strlen(wait->site)));
    hash = hash_combine(hash, (uint64_t)wait->holder << 8 | (uint64_t)wait->reason);
    hash = hash_combine(hash, wait->holder_kind);
    size_t slot = hash & (2 * WAITS_KEPT - 1);
    for (; waits->slots[slot] != 0; slot = (slot + 1) & (2 * WAITS_KEPT - 1))
        if (is_same(&waits->kept[waits->slots[slot] - 1], wait))
            return WAITS_DETAILED + waits->slots[slot] - 1;
    if (waits->count == WAITS_KEPT)
        return plain_number(wait);
    waits->kept[waits->count++] = *wait;
    waits->slots[slot] = (uint16_t)waits->count;
    return WAITS_DETAILED + waits->count - 1;
}

struct wait waits_get(const struct waits *waits, uint32_t number)
{
    if (number == WAITS_RUNNING)
        return (struct wait){.state = WAIT_RUNNING};
    if (number == WAITS_RUNNABLE)
        return (struct wait){.state = WAIT_RUNNABLE};
    if (number >= WAITS_DETAILED && number - WAITS_DETAILED < waits->count)
        return waits->kept[number - WAITS_DETAILED];
    if (number >= WAITS_OF_BLAME(0) && number < WAITS_DETAILED)
        return (struct wait){.state = WAIT_BLAMED,
                             .reason = (enum cprof_wait)(number - WAITS_OF_BLAME(0))};
    bool task = number >= WAITS_OF_TASK(0);
    bool plain = number >= WAITS_OF_REASON(0) && number < WAITS_DETAILED;
    uint32_t first = task ? WAITS_OF_TASK(0) : WAITS_OF_REASON(0);
    return (struct wait){.state = WAIT_WAITING,
                         .reason =
                             plain ? (enum cprof_wait)(number - first) : CPROF_WAIT_UNKNOWN,
                         .task = plain && task};
}

void waits_forget(struct waits *waits)
{
    waits->count = 0;
    memset(waits->slots, 0, sizeof waits->slots);
}
