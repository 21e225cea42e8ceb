/*
 * Makes sure of a caller that was found by looking over the stack: it is believed only if the
 * frames above confirm it, in a trial walk. Inside the walker only. Signal-safe. A search is
 * bounded by the words that it looks at, by the callers that it tries, and by the frames that
 * all of its trials together may walk.
 */
#ifndef CPROF_UNWIND_SEARCH_H
#define CPROF_UNWIND_SEARCH_H

#include "unwind/straight.h"
#include "unwind/walk_inside.h"

enum {
    CONFIRMED_AT_LEAST = 2, /* frames that a caller must lead to */
    STEPS = 1024,           /* frames that all tries together may walk */
    PUSHED = 6,             /* words: the registers that a function must keep for its caller */
    LOOKED_AT = 512,        /* words that are looked at */
};

/* Where a caller is looked for: what its call must be of, if that matters, and what the caller
 * itself must have been called as. */
struct search {
    const struct code_range *callee; /* NULL: any code */
    bool generated;                  /* code that is unknown need not be listed */
    size_t called;                   /* frames, from the caller on, that must be called as what
                                        they are: by code that calls that function */
    size_t confirmed;                /* frames that must lead to code that is unknown as well */
    uintptr_t pushed;                /* bytes below the return address with the frame pointer */
    unsigned steps;                  /* left */
};

static const struct search GENERATED_SEARCH = {.generated = true,
                                               .confirmed = CONFIRMED_AT_LEAST,
                                               .pushed = PUSHED * WORD,
                                               .steps = STEPS};

/* Do the frames from there on lead to the thread's first function, or by some to code that is
 * unknown as well? The first of them is in the function that begins at `function`. */
bool search_confirm(const struct walk *walk, const struct cursor *caller, uintptr_t function,
                    struct search *search);

/* Is the word at `slot` the return address of the code's caller? Then walk->at is that caller.
 * Its stack pointer is where a call has left it; where calls leave nothing on the stack, some
 * words above the place that the return address was put to. */
bool search_take_caller(struct walk *walk, uintptr_t slot, uintptr_t pc, struct search *search);

#endif
