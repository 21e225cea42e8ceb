/*
 * The bound on cprof's memory (CPROF_MEMORY_LIMIT): one counter that every table and buffer
 * of the process draws from before it grows. Lock-free; any thread may call.
 *
 * When it is spent, budget_take says no and the caller degrades as its own header says
 * (a profile gives the "[overflow]" stack, a ring drops and counts). Nothing is ever freed by
 * force, and nothing fails that was already held.
 *
 * What grows for as long as the process lives draws from a share: a budget within the budget,
 * so that it can fill up without taking the room of those who come and go. All of a share, or
 * its first bytes, may be reserved: then nobody else can have what it has not drawn yet.
 */
#ifndef CPROF_BASE_BUDGET_H
#define CPROF_BASE_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct budget {
    size_t limit;         /* bytes; 0 = unlimited */
    _Atomic size_t used;  /* bytes, reserved ones among them */
    _Atomic size_t idle;  /* of those: reserved for shares, which have not drawn them yet */
    struct budget *whole; /* what this is a share of, and draws from; NULL: nothing */
    size_t reserved;      /* its first bytes, which the whole counts as used */
};

void budget_init(struct budget *budget, size_t limit);

/* Makes `share` a bound of 1/part of the whole's limit. The whole (NULL: none) outlives it. */
void budget_init_share(struct budget *share, struct budget *whole, size_t part);

/* The same, reserved until budget_release_share(), which wants everything given back. It is
 * smaller, and down to none not reserved, where the whole has less left. */
void budget_reserve_share(struct budget *share, struct budget *whole, size_t part);
void budget_release_share(struct budget *share);

/* Reserves the first bytes of a share that nothing is drawn from; fewer where the whole has
 * less left. */
void budget_reserve(struct budget *share, size_t bytes);

/* Takes bytes, or takes nothing and returns false. A NULL budget always has room. */
bool budget_take(struct budget *budget, size_t bytes);

/* Gives back what was taken. */
void budget_give(struct budget *budget, size_t bytes);

/* What is drawn. */
size_t budget_used(const struct budget *budget);

/* What could be taken now, where nobody else does: SIZE_MAX for one without a bound. */
size_t budget_left(const struct budget *budget);

#endif
