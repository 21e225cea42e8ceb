/*
 * The functions of a module that have been named: its further addresses in them are answered
 * without a file. A program at work shows new addresses of the same functions for hours, and a
 * search in the file takes some twenty reads for each.
 *
 * 40 bytes a function, drawn from the budget; what has no room is looked up again. Collector
 * only.
 */
#ifndef CPROF_SYMBOL_KNOWN_H
#define CPROF_SYMBOL_KNOWN_H

#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"
#include "symbol/range.h"

struct known_function {
    struct code_range range; /* for which this is the answer: at most the whole function */
    const char *name;        /* both are the caller's, as long as the table lives */
    const char *linkage;     /* NULL: none */
    uint64_t nameless_start; /* vaddr of a function that no source names; 0 = named */
};

struct known {
    struct budget *budget;
    struct known_function *functions; /* by start; ranges do not overlap */
    size_t count, capacity;
};

void known_init(struct known *known, struct budget *budget);
void known_free(struct known *known);

/* The function of a vaddr, or NULL; until the next known_add(). */
const struct known_function *known_find(const struct known *known, uint64_t vaddr);

/* Adds one whose range overlaps no other's. */
void known_add(struct known *known, const struct known_function *function);

#endif
