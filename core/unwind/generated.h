/*
 * Unwind tables of code that was made at run time, one for each function that stacks went
 * through. No loader knows such code, and much of it keeps no frame pointer: its compiler has
 * told somebody else how it is unwound (collect/jit_unwind.h).
 *
 * The code may be freed, and its memory used again, at any moment. So a table holds for the
 * bytes that it was made for: each look-up reads those again, with a system call that fails
 * where a load would crash, and compares their hash. Where a sandbox forbids that call nothing
 * is found. A look-up takes about a microsecond.
 *
 * The tables that there are lie in a set, which is immutable, and belongs to the snapshots that
 * hold it (modules.h). Signal-safe: generated.c is handler code. What makes sets is
 * generated_set.h.
 */
#ifndef CPROF_UNWIND_GENERATED_H
#define CPROF_UNWIND_GENERATED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "unwind/mapped.h"

enum {
    GENERATED_MET = 64,                 /* a power of two */
    GENERATED_PROOF = MAPPED_ENTRY_MAX, /* bytes of a function that are compared */
};

struct unwind_table; /* unwind/table.h */

struct generated_function {
    uintptr_t start, limit;
    bool guessed;   /* from its first instructions (prologue.h) */
    uint64_t proof; /* the hash of its first GENERATED_PROOF bytes */
    struct unwind_table *table;
    size_t references; /* sets that hold it; the collector's */
};

/* By start; none overlaps another. */
struct generated_set {
    size_t count;
    size_t references; /* snapshots that hold it; the collector's */
    struct generated_function *functions[];
};

/* Where walks met code without a table. Each pc has one place, which it shares: what is lost is
 * met again. */
struct generated_met {
    atomic_bool any; /* something new is marked */
    _Atomic uintptr_t pcs[GENERATED_MET];
};

/* [handler] The function around pc, and the rule that holds there. `set` may be NULL. NULL:
 * there is none. */
const struct generated_function *generated_find(const struct generated_set *set,
                                                struct mapped_scratch *scratch, uintptr_t pc,
                                                struct unwind_rule *rule);

/* [handler] A walk found no table there. `met` may be NULL. */
void generated_meet(struct generated_met *met, uintptr_t pc);

/* How many bytes of a function are compared. */
static inline size_t generated_proof_size(uintptr_t start, uintptr_t limit)
{
    return limit - start < GENERATED_PROOF ? limit - start : GENERATED_PROOF;
}

#endif
