/*
 * Memory for rings: mapped, drawn from the budget, and kept for the next thread when a thread
 * ends. Not locked: the thread registry calls under its mutex.
 *
 * The first threads get full rings; when an eighth of the budget has gone to rings the next
 * ones are an eighth as large, and when half of it has, ring_pool_take() returns NULL and the
 * thread stays unsampled until another one ends.
 */
#ifndef CPROF_SAMPLE_RING_POOL_H
#define CPROF_SAMPLE_RING_POOL_H

#include <stddef.h>

#include "base/budget.h"
#include "sample/ring.h"

/* A stack of 300 frames takes some 7 KiB; at 100 a second this holds those of 150 ms, for which
 * a busy machine may well keep the collector waiting. */
#define RING_SIZE ((size_t)128 << 10)
#define RING_SIZE_SMALL ((size_t)16 << 10)
#define RING_POOL_SPARES 32 /* rings kept mapped while no thread has them */

struct ring_pool {
    struct budget *budget;
    size_t record_max;
    size_t held; /* bytes of all rings, spare ones included */
    struct ring *spare;
    size_t spare_count;
};

void ring_pool_init(struct ring_pool *pool, struct budget *budget, size_t record_max);
struct ring *ring_pool_take(struct ring_pool *pool); /* empty; NULL: no memory left for it */
void ring_pool_give(struct ring_pool *pool, struct ring *ring);
void ring_pool_clear(struct ring_pool *pool); /* unmaps the spare rings */

#endif
