/*
 * One thread's way to the collector: a ring of whole records between exactly one producer (the
 * signal handler on that thread) and one consumer (the collector).
 *
 * Positions only grow; their low bits are the place in `data`. A record is always contiguous:
 * it may begin anywhere below `size` and run on into `record_max` spare bytes behind it, and
 * the record after one that reached `size` begins a new lap at place 0. So nothing is ever
 * split and the handler walks straight into the ring.
 *
 * A record is reserved at its greatest size, so whether a deep stack is cut short never
 * depends on how full the ring is. When there is no room for that, ring_reserve() says so and
 * the caller drops the sample and counts it. Memory belongs to the ring pool (ring_pool.h).
 */
#ifndef CPROF_SAMPLE_RING_H
#define CPROF_SAMPLE_RING_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sample/record.h"

struct ring {
    size_t size;                       /* bytes a lap holds; a power of two */
    size_t record_max;                 /* bytes of the largest record */
    struct ring *next;                 /* of all rings: the pool's */
    struct walk_memory memory;         /* the producer's. Here and not on the stack, as
                                          alternate signal stacks are small */
    alignas(64) _Atomic uint64_t head; /* the producer writes here next */
    alignas(64) _Atomic uint64_t tail; /* the consumer reads here next */
    alignas(64) unsigned char data[];  /* size + record_max bytes */
};

void ring_init(struct ring *ring, size_t size, size_t record_max);

/* [handler] Room for a record of record_max bytes, or NULL when the ring is full. */
struct record *ring_reserve(struct ring *ring);

/* [handler] How many bytes the reserved record may take if it wants more than it must: in one
 * piece, and leaving the ring half empty for others. May be less than record_max. */
size_t ring_room(const struct ring *ring);

/* [handler] Publishes the reserved record, whose `size` is set by now. True when this one made
 * the ring a quarter full, or half: time to wake the collector. The quarter has it ask for
 * names that come later, so that they are there by the half, when samples wait no longer. */
bool ring_commit(struct ring *ring, const struct record *record);

/* [handler, collector] Is more than half of it in use? */
bool ring_half_full(const struct ring *ring);

/* [collector] The oldest record, or NULL when there is none. */
const struct record *ring_peek(const struct ring *ring);

/* [collector] Done with the record that ring_peek() gave. */
void ring_consume(struct ring *ring);

#endif
