/*
 * The functions of a module that have been named: its further addresses in them are answered
 * without a file. A program at work shows new addresses of the same functions for hours, and a
 * search in the file takes some twenty reads for each.
 *
 * 40 bytes a function, drawn from the budget; what has no room is looked up again. Collector
 * only.
 */
#ifndef CPROF_SYMBOL_FUNCTION_CACHE_H
#define CPROF_SYMBOL_FUNCTION_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"
#include "symbol/range.h"

struct cached_function {
    struct code_range range; /* for which this is the answer: at most the whole function */
    const char *name;        /* both are the caller's, as long as the table lives */
    const char *linkage;     /* NULL: none */
    uint64_t nameless_start; /* vaddr of a function that no source names; 0 = named */
};

struct function_cache {
    struct budget *budget;
    struct cached_function *functions; /* by start; ranges do not overlap */
    size_t count, capacity;
};

void function_cache_init(struct function_cache *cache, struct budget *budget);
void function_cache_free(struct function_cache *cache);

/* The function of a vaddr, or NULL; until the next function_cache_add(). */
const struct cached_function *function_cache_find(const struct function_cache *cache,
                                                  uint64_t vaddr);

/* Adds one whose range overlaps no other's. */
void function_cache_add(struct function_cache *cache, const struct cached_function *function);

#endif
