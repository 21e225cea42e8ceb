/*
 * The bound on cprof's memory (CPROF_MEMORY_LIMIT): one counter that every table and buffer
 * of the process draws from before it grows. Lock-free; any thread may call.
 *
 * When it is spent, budget_take says no and the caller degrades as its own header says
 * (a profile gives the "[overflow]" stack, a ring drops and counts). Nothing is ever freed by
 * force, and nothing fails that was already held.
 */
#ifndef CPROF_BASE_BUDGET_H
#define CPROF_BASE_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct budget {
    size_t limit;        /* bytes; 0 = unlimited */
    _Atomic size_t used; /* bytes */
};

void budget_init(struct budget *budget, size_t limit);

/* Takes bytes, or takes nothing and returns false. A NULL budget always has room. */
bool budget_take(struct budget *budget, size_t bytes);

/* Gives back what was taken. */
void budget_give(struct budget *budget, size_t bytes);

size_t budget_used(const struct budget *budget);

#endif
