/*
 * Waits by number: what a sample carries is a number, as a runtime's set of labels is, and its
 * labels are made of it once (collect/labelling.h).
 *
 * Every state and reason has its number for ever, one for tasks, and one for who has made
 * others wait. One with a peer or a lock has one for as long as an interval lasts, of which the
 * first WAITS_KEPT are kept apart: the others have the number of their reason alone. Belongs to
 * the collector's thread; zero-initialised.
 */
#ifndef CPROF_LOOK_WAITS_H
#define CPROF_LOOK_WAITS_H

#include <stdint.h>

#include "look/wait.h"

#define WAITS_KEPT 512

/* The numbers that stay. 0 is no wait: a sample without such labels. */
#define WAITS_RUNNING 1
#define WAITS_RUNNABLE 2
#define WAITS_OF_REASON(reason) (3u + (uint32_t)(reason))
#define WAITS_OF_TASK(reason) WAITS_OF_REASON(CPROF_WAITS + (uint32_t)(reason))
#define WAITS_OF_BLAME(reason) WAITS_OF_TASK(CPROF_WAITS + (uint32_t)(reason))
#define WAITS_DETAILED WAITS_OF_BLAME(CPROF_WAITS)

struct waits {
    struct wait kept[WAITS_KEPT];
    uint32_t count;
    uint16_t slots[2 * WAITS_KEPT]; /* by hash: index + 1; 0: free */
};

uint32_t waits_number(struct waits *waits, const struct wait *wait);

/* The wait of a number that is not 0. */
struct wait waits_get(const struct waits *waits, uint32_t number);

/* The interval is over. */
void waits_forget(struct waits *waits);

/* In the spelling of the labels; NULL: none. */
const char *wait_state_word(enum wait_state state);
const char *wait_reason_word(enum cprof_wait reason);

#endif
