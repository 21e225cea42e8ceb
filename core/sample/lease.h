/*
 * Who writes to which ring. A thread that runs has one, a thread that sleeps has none: the
 * handler takes a ring off the shelf with the thread's first sample, and the collector takes
 * it back when the thread has been idle for a while. So what rings cost follows how many
 * threads run, not how many there are.
 *
 * The shelf holds empty rings that the collector has laid out ahead (ring_pool.h). Taking one
 * is a bounded search through an array: no lock, no loop that another thread can prolong. An
 * empty shelf means that the sample is dropped and counted.
 *
 * A lease is one word: the ring's address, or 0, and in its lowest bit the mark "not used
 * since the collector looked", which the handler takes away before it uses the ring. Only a
 * marked lease can be ended, in one atomic step, so a ring is never the collector's and a
 * handler's at a time. Who ends it has seen, after it was marked, that no handler is at work
 * with the thread, and then that the ring is empty: so nothing is left in it.
 */
#ifndef CPROF_SAMPLE_LEASE_H
#define CPROF_SAMPLE_LEASE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sample/ring.h"

#define SHELF_SIZE 64

struct shelf {
    _Atomic(struct ring *) rings[SHELF_SIZE]; /* NULL: an empty place */
    _Atomic size_t count;                     /* of rings, roughly while it changes */
    _Atomic size_t low; /* with fewer the collector shall look after it; 0: never */
};

struct lease {
    _Atomic uintptr_t word;
};

/* [handler] The thread's ring; one from the shelf when it has none, NULL when there is none.
 * *low: a ring was wanted from the shelf, and few or none are left. */
struct ring *lease_use(struct lease *lease, struct shelf *shelf, bool *low);

/* The rest is for the registry, under its mutex.
 *
 * The ring, or NULL; it stays until lease_end(). */
struct ring *lease_ring(const struct lease *lease);

/* Marks it as not used. True when it was marked already. */
bool lease_mark(struct lease *lease);

/* Takes the ring back if the mark is still there, else NULL. */
struct ring *lease_end(struct lease *lease);

/* Lays an empty ring out; false when the shelf is full. */
bool shelf_add(struct shelf *shelf, struct ring *ring);

/* [handler] A ring from the shelf, or NULL. */
struct ring *shelf_take(struct shelf *shelf);

static inline size_t shelf_count(const struct shelf *shelf)
{
    return atomic_load_explicit(&shelf->count, memory_order_relaxed);
}

#endif
