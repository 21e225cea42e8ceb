/*
 * Samples of a thread that runs an event loop are labelled with how long the turn took that
 * they are of (sample/loops.h), which is known when it has ended, or taken a second. Until then
 * they are held: a sample's row in the running profile, but for that label.
 *
 * Belongs to the collector's thread. HELD_MAX rows: what has no room is labelled with how long
 * the turn has taken up to now, and so is all when nothing may be held any longer. An interval
 * that closes by its time leaves what is held to the next one.
 */
#ifndef CPROF_COLLECT_HELD_H
#define CPROF_COLLECT_HELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/budget.h"
#include "profile/profile.h"
#include "source/source.h"

#define HELD_MAX 4096

struct held_row {
    pid_t tid;
    uint64_t time; /* CLOCK_MONOTONIC */
    size_t sheet;
    profile_id stack, link, labels; /* of the running profile */
    int64_t values[SOURCE_COLUMNS];
};

/* All zero but for the budget: nothing is held. */
struct held {
    struct budget *budget;
    struct held_row *rows; /* NULL until one is held */
    size_t count;
};

void held_free(struct held *held);

/* Adds the sample to the profile now or later. */
void held_add(struct held *held, struct profile *running, const struct held_row *row);

/* Adds those whose turn is known by now, or `all`. */
void held_settle(struct held *held, struct profile *running, bool all);

/* Another profile runs from now on, to which what is held goes. What has no room there is added
 * to the one before. */
void held_carry(struct held *held, struct profile *before, struct profile *running);

#endif
