/*
 * Memory for rings: mapped, drawn from the budget, and laid out on the shelf (lease.h), where
 * handlers find it. Not locked: the thread registry calls under its mutex, and nothing here
 * runs in a handler but what takes from the shelf.
 *
 * The first rings are full ones; when an eighth of the budget has gone to rings the next ones
 * are half as large, and when half of it has, no more are mapped: threads that run get
 * what others have given back.
 */
#ifndef CPROF_SAMPLE_RING_POOL_H
#define CPROF_SAMPLE_RING_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/budget.h"
#include "sample/lease.h"
#include "sample/ring.h"

/* A stack of 300 frames takes some 7 KiB; at 100 a second this holds those of 150 ms, for which
 * a busy machine may well keep the collector waiting. */
#define RING_SIZE ((size_t)128 << 10)
/* Some times the largest record (20 KiB), for which a ring must have room in one piece. */
#define RING_SIZE_SMALL ((size_t)64 << 10)
/* Rings laid out ahead: as many threads may begin to run at once, or in the time that the
 * collector needs to see it. A busy machine has it wait for some 100 ms. */
#define RING_POOL_AHEAD 32

struct ring_pool {
    struct budget *budget;
    size_t record_max;
    size_t held;      /* bytes of all rings */
    size_t count;     /* of all rings: those of threads, and those on the shelf */
    struct ring *all; /* linked by `next` */
    struct shelf *shelf;
};

/* The shelf, which handlers know, is empty and outlives the pool. */
void ring_pool_init(struct ring_pool *pool, struct budget *budget, size_t record_max,
                    struct shelf *shelf);

/* Lays rings out for `threads` threads that may have to be given one, of which some have
 * theirs: one for each, at most RING_POOL_AHEAD. False when there is no memory for as many. */
bool ring_pool_fill(struct ring_pool *pool, size_t threads);

/* An empty ring, that no thread has any more. */
void ring_pool_give(struct ring_pool *pool, struct ring *ring);

/* Unmaps all rings, whoever has them. */
void ring_pool_clear(struct ring_pool *pool);

#endif
