/*
 * The rules that a thread's walks found last, by pc. The outer frames of a thread's stacks stay
 * from sample to sample, and at 100 samples a second the processor's caches have forgotten
 * the tables by then: here a frame costs one line of memory, where a table costs four, each
 * waiting for the one before. Where the pc's module stays for good, nothing has to be asked of
 * the module either.
 *
 * Handler code: one thread's handler uses it at a time. Zero-initialised.
 */
#ifndef CPROF_UNWIND_RULE_CACHE_H
#define CPROF_UNWIND_RULE_CACHE_H

#include <limits.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "unwind/cfi.h"

enum { RULES_CACHED = 256 }; /* a power of two; 8 KiB */

struct cached_rule {
    uintptr_t key; /* see rule_cache_key(); 0: empty */
    struct unwind_rule rule;
};

_Static_assert(sizeof(struct cached_rule) == 32, "two to a line of memory");

struct rule_cache {
    uint64_t snapshot; /* the snapshot whose rules these are, by its serial */
    alignas(64) struct cached_rule rules[RULES_CACHED];
};

/* Forgets everything when the snapshot is another one. */
static inline void rule_cache_begin(struct rule_cache *cache, uint64_t snapshot)
{
    if (cache->snapshot == snapshot)
        return;
    memset(cache->rules, 0, sizeof(cache->rules));
    cache->snapshot = snapshot;
}

/* Addresses of programs leave the highest bit free: it marks code that is never unmapped. */
static inline uintptr_t rule_cache_key(uintptr_t pc, bool stays)
{
    return pc | (uintptr_t)stays << (sizeof pc * CHAR_BIT - 1);
}

/* Where the rule of a pc is, if its key says so; else where to put it. */
static inline struct cached_rule *rule_cache_slot(struct rule_cache *cache, uintptr_t pc)
{
    return &cache->rules[(pc ^ pc >> 8) % RULES_CACHED];
}

#endif
