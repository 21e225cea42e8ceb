/*
 * The stacks of a profile as sequences of functions, whatever their lines and addresses: equal
 * ones get one number, and a text as in the collapsed format ("main;work;crc32"). Owned by
 * whoever made it; one thread.
 */
#ifndef CPROF_CLI_STACKS_H
#define CPROF_CLI_STACKS_H

#include "format/format.h"
#include "format/frames.h"

#define STACK_TEXT 4096 /* bytes of a text; a longer one loses its root for a "…" */

struct stacks {
    uint32_t *number; /* by stack of the profile; dense from 0 */
    size_t *text_at;  /* by number: where its text begins; one more entry at the end */
    struct buffer texts;
};

/* 0 or -ENOMEM; on failure there is nothing to free. */
int stacks_make(struct stacks *stacks, const struct frame_table *frames);
void stacks_free(struct stacks *stacks);

#endif
