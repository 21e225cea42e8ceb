#include "base/budget.h"

void budget_init(struct budget *budget, size_t limit)
{
    budget->limit = limit;
    budget->whole = NULL;
    atomic_init(&budget->used, 0);
}

void budget_init_share(struct budget *share, struct budget *whole, size_t part)
{
    budget_init(share, whole ? whole->limit / part : 0);
    share->whole = whole;
}

static bool take_own(struct budget *budget, size_t bytes)
{
    size_t used = atomic_load_explicit(&budget->used, memory_order_relaxed);
    do {
        if (budget->limit != 0 && (used > budget->limit || bytes > budget->limit - used))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(
        &budget->used, &used, used + bytes, memory_order_relaxed, memory_order_relaxed));
    return true;
}

bool budget_take(struct budget *budget, size_t bytes)
{
    if (budget == NULL)
        return true;
    if (!take_own(budget, bytes))
        return false;
    if (budget_take(budget->whole, bytes))
        return true;
    atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);
    return false;
}

void budget_give(struct budget *budget, size_t bytes)
{
    for (; budget != NULL; budget = budget->whole)
        atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);
}

size_t budget_used(const struct budget *budget)
{
    return budget ? atomic_load_explicit(&budget->used, memory_order_relaxed) : 0;
}
