/*
 * Stacks that the running interval has met, by what their records say. Most samples of a
 * program at work have a stack that has been named and woven before, and are counted on it
 * without doing so again.
 *
 * A record is known by a hash of all that its stack hangs on: both lists of frames and how they
 * end, with stack addresses relative to the stack pointer, as the same calls may be made at
 * another depth or in another thread. Only what is settled is kept: every frame has the name
 * that it will have till the interval ends, or till modules change.
 *
 * Belongs to the collector's thread. 1,024 places of 24 bytes; a stack takes that of an older
 * one.
 */
#ifndef CPROF_COLLECT_RECALL_H
#define CPROF_COLLECT_RECALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cprof/asleep.h"
#include "profile/profile.h"
#include "sample/record.h"

#define RECALLED 1024 /* a power of two */

struct recalled {
    uint64_t key;     /* 0: the place is empty */
    profile_id stack; /* in the running profile */
    bool truncated;   /* as struct stack has them */
    bool failed;
    enum cprof_wait waits_for; /* one that sleeps there, as the runtime knows */
};

/* Zero-initialised. */
struct recall {
    uint64_t names; /* of which version of all names it is: naming_version() */
    struct recalled places[RECALLED];
};

/* 0: a record that is not to be recalled, as its stack has to be walked again. */
uint64_t recall_key(const struct record *record);

/* What was kept under the key, or NULL. Forgets everything that was kept under other names. */
const struct recalled *recall_find(struct recall *recall, uint64_t names, uint64_t key);
void recall_keep(struct recall *recall, const struct recalled *stack);

/* The interval is over. */
void recall_forget(struct recall *recall);

#endif
