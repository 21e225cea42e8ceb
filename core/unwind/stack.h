/*
 * The stack of a walk: words of it, read where they lie or, of another thread's, from copies.
 * Inside the walker only. Signal-safe. A walk reads stack memory through these and by no other
 * way: they keep to the bounds (walk.h), and look whether memory is readable that was not seen
 * yet. What reads a word that was is inline, since every frame does.
 */
#ifndef CPROF_UNWIND_STACK_H
#define CPROF_UNWIND_STACK_H

#include "unwind/walk.h"

enum { WORD = sizeof(uintptr_t) };

static const uintptr_t PAGE = 4096; /* or a part of one, where pages are larger */

/* Looks for readable memory up to the end of [address, address + size). */
bool stack_extend(struct stack_bounds *bounds, uintptr_t address, uintptr_t size);

/* Is all of [address, address + size) stack memory that can be read? */
static inline bool stack_holds(struct stack_bounds *bounds, uintptr_t address, uintptr_t size)
{
    if (address < bounds->low || address % WORD != 0)
        return false;
    bool seen = address < bounds->high && size <= bounds->high - address;
    return seen || stack_extend(bounds, address, size);
}

/* A word that has not been seen yet. */
bool stack_load_unseen(struct stack_bounds *bounds, uintptr_t address, uintptr_t *value);

/* The word at an address. False: it is none of the stack, or can't be read. */
READS_STACK static inline bool stack_load(struct stack_bounds *bounds, uintptr_t address,
                                          uintptr_t *value)
{
    if (address < bounds->low || address % WORD != 0)
        return false;
    if (address >= bounds->high || WORD > bounds->high - address)
        return stack_load_unseen(bounds, address, value);
    *value = *(const uintptr_t *)address;
    return true;
}

/* Bytes of the stack, where they lie or where they are copied to. NULL: they can't be read. */
const void *stack_look_at(struct stack_bounds *bounds, uintptr_t address, uintptr_t size);

/* The bounds of another thread's stack. */
struct stack_bounds stack_of_copied(struct copied *copied, uintptr_t sp);

/* Makes the bounds fit another stack of the same thread. */
bool stack_change(struct stack_bounds *bounds, uintptr_t sp);

#endif
