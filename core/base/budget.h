/*
 * The bound on cprof's memory (CPROF_MEMORY_LIMIT): one counter that every table and buffer
 * of the process draws from before it grows. Lock-free; any thread may call.
 *
 * When it is spent, budget_take says no and the caller degrades as its own header says
 * (a profile gives the "[overflow]" stack, a ring drops and counts). Nothing is ever freed by
 * force, and nothing fails that was already held.
 *
 * What grows for as long as the process lives draws from a share: a budget within the budget,
 * so that it can fill up without taking the room of those who come and go.
 */
#ifndef CPROF_BASE_BUDGET_H
#define CPROF_BASE_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct budget {
    size_t limit;         /* bytes; 0 = unlimited */
    _Atomic size_t used;  /* bytes */
    struct budget *whole; /* what this is a share of, and draws from; NULL: nothing */
};

void budget_init(struct budget *budget, size_t limit);

/* Makes `share` a bound of 1/part of the whole's limit. The whole (NULL: none) outlives it. */
void budget_init_share(struct budget *share, struct budget *whole, size_t part);

/* Takes bytes, or takes nothing and returns false. A NULL budget always has room. */
bool budget_take(struct budget *budget, size_t bytes);

/* Gives back what was taken. */
void budget_give(struct budget *budget, size_t bytes);

size_t budget_used(const struct budget *budget);

#endif
