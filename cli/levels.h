/*
 * What each stack keeps, at the moments of many profiles: of files, each a look at the same
 * process, or of a store's intervals. A stack is its functions, whatever their lines, without
 * the interpreter's own; labels, threads and spans do not tell stacks apart. The labels that
 * say how old blocks are (profile/age.h) tell the class of a stack's oldest ones.
 *
 * Of more than LEVELS_MOMENTS profiles some are left out, evenly: a level needs no sum.
 */
#ifndef CPROF_CLI_LEVELS_H
#define CPROF_CLI_LEVELS_H

#include "report.h"
#include "selection.h"

#define LEVELS_MOMENTS 1024

struct levels {
    struct profile *profile; /* of all; owned, as is all that follows */
    struct profile *folded;  /* what is counted of it, or NULL: all */
    struct frame_table frames;
    struct stacks stacks;
    size_t stack_count, count; /* stacks; moments */
    uint64_t *times;           /* of the moments, rising: Unix times in ns */
    double *values;            /* by stack, and in it by moment */
    uint8_t *ages;             /* by stack: of the oldest blocks at the last moment */
    int64_t period;            /* bytes; the largest of all */
};

/* Reads files, or what the selection's store has. GO_ON, or an exit code after having said why.
 * To be freed only where it is GO_ON. */
int levels_load(struct levels *levels, const struct selection *selection, bool all_native,
                char *const *paths, size_t count);
void levels_free(struct levels *levels);

/* A stack's levels, the class of its oldest blocks, and its text. */
static inline const double *levels_of(const struct levels *levels, size_t stack)
{
    return levels->values + stack * levels->count;
}
static inline uint8_t levels_age(const struct levels *levels, size_t stack)
{
    return levels->ages[stack];
}
static inline const char *levels_text(const struct levels *levels, size_t stack)
{
    return (const char *)levels->stacks.texts.data + levels->stacks.text_at[stack];
}

#endif
