/*
 * The sampled blocks that have not been freed, by their addresses: what a free is looked up in.
 * A hook that samples an allocation lists the block; one that frees it marks its slot, and
 * writes no record; the collector, which knows by the slot's number what the block stands for
 * (collect/blocks.h), empties slots. Only the collector does, so that the record of a block
 * that is still on its way never meets another block in its slot.
 *
 *     empty ─ live_add() ─▶ live ─ live_remove() ─▶ freed ─ live_empty() ─▶ empty
 *
 * Lock-free, and bounded in steps: an address has its place in one of two buckets of eight
 * slots, each a cache line. With half of all slots in use, which is the bound, hardly ever are
 * both full. A free first looks at cprof_live_filter, that counts the listed addresses by 16 of
 * their bits: most frees end there.
 *
 * When it is full the collector halves it: each block is dropped with the chance 1/2, those
 * that stay stand for twice as many, and so do those that come (live_thin()). So the estimate
 * stays unbiased. A block for which there is no slot until then is not listed, and counted.
 *
 * The slots are their opener's, and stay for the life of the process, as a free may look at
 * them at any time. An address that is listed anew ends its older block, whose free nobody saw.
 */
#ifndef CPROF_SAMPLE_LIVE_H
#define CPROF_SAMPLE_LIVE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cprof/sample.h"

#define LIVE_SLOTS_MAX ((size_t)1 << 17)

enum live_state { LIVE_EMPTY, LIVE_LISTED, LIVE_FREED };

struct live_place {
    uint32_t block; /* slot + 1; 0: it is not listed */
    uint8_t shift;  /* it stands for 2^shift like it */
};

/* [start] Blocks are listed from now on, in these slots, all zero: a power of two, of which
 * half are used, and on a cache line. */
void live_open(_Atomic uintptr_t *slots, size_t count);
/* [start] None is any more. A hook that has begun before may still write to a slot, and free
 * look at them. */
void live_close(void);

/* [hook] Lists a block; nothing where none are listed, of NULL, and of what is left out. */
struct live_place live_add(const void *block);

/* The rest is the collector's. */

/* How many are used, freed ones that are not yet emptied among them; of how many slots. */
size_t live_count(void);
size_t live_slots(void);

/* In the child of a fork, while none are listed: a thread that is not here any more may have
 * been amid that. */
void live_recount(void);

/* How often a block was freed, and how often one found no slot, since live_open(). */
uint64_t live_freed(void);
uint64_t live_unlisted(void);

enum live_state live_state(size_t slot);
/* The slot is not used any more. */
void live_empty(size_t slot);

/* From now on a block stands for 2^shift, and so fewer are listed. */
void live_thin(uint8_t shift);

#endif
