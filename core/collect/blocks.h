/*
 * The live heap: what the blocks that are listed as live (sample/live.h) stand for, and where
 * they were allocated. A sampled allocation comes here with its slot, and stays until its block
 * is seen to be freed. When an interval ends, what is left is the sheet `heap` of its profile.
 *
 * Most blocks die in the interval that they were allocated in. The stacks of those that do not
 * are taken along from profile to profile: into the closing one, whose sheet they are part of,
 * and from there into one of our own, for the next. So nothing is kept that no live block
 * needs.
 *
 * Each sample of the sheet tells by a label how old its blocks are (profile/age.h).
 *
 * A list by slot, as large as the budget allows (a quarter of it at most): the bound of live
 * blocks, sample/live.h says what happens there. Belongs to the collector's thread, and owns
 * the table of live blocks from blocks_init() to blocks_free(). Stacks for which there is no
 * room are "[overflow]". Times are of CLOCK_MONOTONIC, in nanoseconds.
 */
#ifndef CPROF_COLLECT_BLOCKS_H
#define CPROF_COLLECT_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"
#include "profile/profile.h"

struct block;

struct blocks {
    struct budget *budget;
    const struct profile *model;
    struct block *list; /* by slot; NULL: none are listed */
    size_t slots;
    struct profile *kept; /* has the stacks of those that are older than the interval */
    int64_t bytes;        /* that all of them stand for */
    uint64_t seen_freed;
    uint64_t random;
    uint8_t shift; /* see live_thin() */
};

/* Where a block of the running interval was allocated, and what it stands for. */
struct allocated {
    profile_id stack, link, labels; /* of the interval's profile */
    uint32_t slot;
    uint8_t shift;
    uint64_t time;
    int64_t objects, bytes;
};

/* Zero-initialised before. 0, or -ENOMEM: no blocks are listed. */
int blocks_init(struct blocks *blocks, const struct profile *model, struct budget *budget);
void blocks_free(struct blocks *blocks);

/* In the child of a fork, whose memory they are in too, before anything is sampled: takes over
 * those that the parent's had, with the profile of its running interval. What was on its way to
 * them is not there. `from` is empty afterwards. */
void blocks_inherit(struct blocks *blocks, struct blocks *from, struct profile *interval);

void blocks_add(struct blocks *blocks, const struct allocated *allocated);

/* Once a turn: forgets those that have been freed. */
void blocks_tick(struct blocks *blocks);

/* Adds what lives to a sheet of the interval's profile, that ends now. `last`: nothing
 * follows. */
void blocks_close(struct blocks *blocks, struct profile *profile, size_t sheet, uint64_t now,
                  bool last);

#endif
