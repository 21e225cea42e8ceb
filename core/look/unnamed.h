/*
 * Waits that ended before the runtime had names for their frames. Their time is theirs,
 * whatever the thread does since: it is counted once the names are there, or without them when
 * they have been waited for long enough.
 *
 * Names come in the order in which they were asked for, so the oldest wait is tried first, and
 * those behind it wait with it. At most UNNAMED_MAX, drawn from the budget: for what is more
 * there is no room, and it is to be counted without names.
 *
 * Belongs to the collector's thread; zero-initialised.
 */
#ifndef CPROF_LOOK_UNNAMED_H
#define CPROF_LOOK_UNNAMED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"
#include "look/receiver.h"

#define UNNAMED_MAX 256

struct unnamed_wait;

struct unnamed {
    struct unnamed_wait *first, *last; /* the oldest, and the newest */
    size_t count;
};

/* The thread has waited for so long where the record says; names are waited for until then
 * (CLOCK_MONOTONIC). False: no room. */
bool unnamed_add(struct unnamed *unnamed, struct budget *budget,
                 const struct thread_view *thread, const struct record *record,
                 const struct wait *wait, uint32_t microseconds, uint64_t until);

/* Counts those that have names by now; with `all` the others as well. */
void unnamed_count(struct unnamed *unnamed, struct budget *budget,
                   const struct looks_receiver *receiver, bool all);

/* Forgets them. */
void unnamed_free(struct unnamed *unnamed, struct budget *budget);

#endif
