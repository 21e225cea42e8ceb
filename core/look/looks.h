/*
 * Looks at all threads, some twenty times a second: what they wait for, and for how long.
 *
 * A look at a thread whose CPU clock has not moved adds the time since the last one to where it
 * was then, for 0.4 µs. One that has moved is looked at anew (look.h). The totals are the
 * kernel's, whatever looks miss: of each thread's time, what is neither CPU time nor waiting
 * for a CPU is waiting, and looks only share that out. Off-CPU time that no look has seen the
 * place of goes to where the next one finds the thread.
 *
 * Of native locks (wait.h) it is counted how often a thread went to sleep there, as far as
 * looks can tell: a wait that two of them find is one, and where waits are shorter the sleeps
 * that the kernel counts go where the time does. The time is also told of who has the lock
 * meanwhile, where he is then.
 *
 * A thread that has slept for long is looked at less often: after an eighth of the time that
 * it has slept, at least every two seconds. What it waits for next gets the time since the last
 * look, so that has to be short beside the wait before it.
 *
 * A place whose frames the runtime has no names for yet keeps its time, also when the thread
 * has gone on before they come (unnamed.h).
 *
 * Looks may cost LOOKS_SHARE of the process's CPU time, and a thousandth of one CPU besides.
 * More is waited for: rounds are left out, and counted. One round looks at LOOKS_A_ROUND
 * threads anew at most, and the next one goes on from there.
 *
 * Belongs to the collector's thread. A thread's state takes some 300 bytes of the budget; one
 * for which there is no room is not looked at, and counted.
 */
#ifndef CPROF_LOOK_LOOKS_H
#define CPROF_LOOK_LOOKS_H

#include <stdint.h>

#include "look/look.h"
#include "look/receiver.h"

#define LOOKS_SHARE 100 /* 1 % */
#define LOOKS_A_ROUND 1024

struct looks_counts {
    uint64_t taken, unmoved, torn;
    uint64_t refused;      /* the kernel did not say where the thread sleeps */
    uint64_t skipped;      /* rounds that were left out to keep to the budget */
    uint64_t without_room; /* looks at threads for which there was no memory */
    uint64_t cpu_ns;
};

struct looks_config {
    struct looker_config looker;
    uint64_t period_ns; /* between two rounds, on average */
    const struct looks_receiver *receiver;
};

struct looks;

struct looks *looks_new(const struct looks_config *config); /* NULL: no memory */
void looks_free(struct looks *looks);                       /* NULL is allowed */

/* When the next round is due: CLOCK_MONOTONIC. */
uint64_t looks_due(const struct looks *looks);

/* A round. */
void looks_round(struct looks *looks, const struct module_map *map);

/* Counts waits that have ended and have their names by now; with `all` also the others, and
 * until looks_settle() no name is waited for. False: some are left. */
bool looks_name(struct looks *looks, bool all);

/* The interval is about to end: all that has been waited until now is counted. With `last` no
 * round follows: what has no place yet goes to where the thread was seen last, and if it was
 * not, is counted without one. */
void looks_settle(struct looks *looks, bool last);

void looks_count(const struct looks *looks, struct looks_counts *counts);

#endif
