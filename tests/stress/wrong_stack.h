/*
 * Judging the stacks that the stress sampled: its functions call each other in few ways, so a
 * walk that went astray shows as a call that the program does not make.
 */
#ifndef STRESS_WRONG_STACK_H
#define STRESS_WRONG_STACK_H

#include <stdbool.h>
#include <stddef.h>

#include "profile/profile.h"

/* Which functions call `callee`; and nothing else does. */
struct known_calls {
    const char *callee;
    const char *callers[6]; /* ended by NULL */
};

/* A piece of the stack as text, leaf first, when it holds a call that the list does not know or
 * one of `roots` (threads' first functions) far from its end; NULL when it is sound. Static
 * memory. */
const char *wrong_stack(const struct profile *profile, profile_id stack,
                        const struct known_calls *calls, const char *const *roots,
                        size_t root_count);

#endif
