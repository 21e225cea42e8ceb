#include "base/budget.h"

#include <stdint.h>

void budget_init(struct budget *budget, size_t limit)
{
    budget->limit = limit;
    budget->whole = NULL;
    budget->reserved = 0;
    atomic_init(&budget->used, 0);
    atomic_init(&budget->idle, 0);
}

void budget_init_share(struct budget *share, struct budget *whole, size_t part)
{
    budget_init(share, whole ? whole->limit / part : 0);
    share->whole = whole;
}

/* *before: what was used. */
static bool take_own(struct budget *budget, size_t bytes, size_t *before)
{
    size_t used = atomic_load_explicit(&budget->used, memory_order_relaxed);
    do {
        if (budget->limit != 0 && (used > budget->limit || bytes > budget->limit - used))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(
        &budget->used, &used, used + bytes, memory_order_relaxed, memory_order_relaxed));
    *before = used;
    return true;
}

/* Of the bytes between two amounts that are used, those past what is reserved: the whole's. */
static size_t beyond(const struct budget *share, size_t from, size_t to)
{
    size_t first = from > share->reserved ? from : share->reserved;
    return to > first ? to - first : 0;
}

/* Counts bytes (or, as it wraps around, takes back) that are used whatever the limit is. */
static void count_used(struct budget *budget, size_t bytes)
{
    for (; budget != NULL; budget = budget->whole)
        atomic_fetch_add_explicit(&budget->used, bytes, memory_order_relaxed);
}

/* The whole had not what was beyond. Other threads' amounts may have moved meanwhile, and have
 * counted on ours. */
static void take_back(struct budget *share, size_t bytes, size_t over)
{
    size_t used = atomic_fetch_sub_explicit(&share->used, bytes, memory_order_relaxed);
    size_t moved = over - beyond(share, used - bytes, used);
    if (moved == 0)
        return;
    count_used(share->whole, moved);
    atomic_fetch_add_explicit(&share->whole->idle, moved, memory_order_relaxed);
}

bool budget_take(struct budget *budget, size_t bytes)
{
    size_t used;
    if (budget == NULL || bytes == 0)
        return true;
    if (!take_own(budget, bytes, &used))
        return false;
    size_t over = beyond(budget, used, used + bytes);
    if (!budget_take(budget->whole, over)) {
        take_back(budget, bytes, over);
        return false;
    }
    if (over < bytes)
        atomic_fetch_sub_explicit(&budget->whole->idle, bytes - over, memory_order_relaxed);
    return true;
}

void budget_give(struct budget *budget, size_t bytes)
{
    for (; budget != NULL && bytes > 0; budget = budget->whole) {
        size_t used = atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);
        size_t over = beyond(budget, used - bytes, used);
        if (over < bytes)
            atomic_fetch_add_explicit(&budget->whole->idle, bytes - over, memory_order_relaxed);
        bytes = over;
    }
}

void budget_reserve(struct budget *share, size_t bytes)
{
    while (bytes > 0 && !budget_take(share->whole, bytes))
        bytes /= 2;
    share->reserved = bytes;
    if (bytes > 0)
        atomic_fetch_add_explicit(&share->whole->idle, bytes, memory_order_relaxed);
}

void budget_reserve_share(struct budget *share, struct budget *whole, size_t part)
{
    budget_init_share(share, whole, part);
    budget_reserve(share, share->limit);
    if (share->reserved > 0)
        share->limit = share->reserved;
}

void budget_release_share(struct budget *share)
{
    size_t bytes = share->reserved;
    if (bytes == 0)
        return;
    share->reserved = 0;
    atomic_fetch_sub_explicit(&share->whole->idle, bytes, memory_order_relaxed);
    budget_give(share->whole, bytes);
}

size_t budget_used(const struct budget *budget)
{
    if (budget == NULL)
        return 0;
    size_t idle = atomic_load_explicit(&budget->idle, memory_order_relaxed);
    size_t used = atomic_load_explicit(&budget->used, memory_order_relaxed);
    return used > idle ? used - idle : 0;
}

/* SIZE_MAX: without a bound of its own. */
static size_t own_left(const struct budget *budget, size_t used)
{
    if (budget->limit == 0)
        return SIZE_MAX;
    return budget->limit > used ? budget->limit - used : 0;
}

size_t budget_left(const struct budget *budget)
{
    if (budget == NULL)
        return SIZE_MAX;
    size_t used = atomic_load_explicit(&budget->used, memory_order_relaxed);
    size_t own = own_left(budget, used);
    size_t kept = budget->reserved > used ? budget->reserved - used : 0;
    size_t others = budget_left(budget->whole);
    size_t all = others < SIZE_MAX - kept ? others + kept : SIZE_MAX;
    return own < all ? own : all;
}
