/*
 * Making sets of generated.h. Collector only. Functions and sets are counted by who holds them,
 * and drawn from the budget.
 *
 * At most GENERATED_MAX functions are kept: beyond that, or when the budget is spent, those of
 * before go, and whichever of them run come again.
 */
#ifndef CPROF_UNWIND_GENERATED_SET_H
#define CPROF_UNWIND_GENERATED_SET_H

#include "base/budget.h"
#include "unwind/generated.h"

enum { GENERATED_MAX = 2048 };

/* What is known of the code around a pc. */
struct generated_source {
    uintptr_t pc;
    struct cfi_section eh_frame; /* a copy; of no size: none */
    uintptr_t start, limit;      /* of the function, for what that does not describe; 0: not
                                    known */
};

/* The function around the pc; held by the caller. NULL: nothing says what its frame is like,
 * the code can't be read, or there is no room. */
struct generated_function *generated_function_new(const struct generated_source *source,
                                                  struct budget *budget);
void generated_function_release(struct generated_function *function, struct budget *budget);

/* A set of these functions, and of what `old` (may be NULL) has beside them that is still
 * there. Held by the caller; NULL: no room. */
struct generated_set *generated_set_new(const struct generated_set *old,
                                        struct generated_function *const *functions,
                                        size_t count, struct budget *budget);

/* May be NULL. */
void generated_set_release(struct generated_set *set, struct budget *budget);

#endif
