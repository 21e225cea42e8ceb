/*
 * Samples on their way from a reader into a profile: gathered, and added a few at a time
 * (profile_add_entries()). Begins as {.profile = …}. Owned by one reader; not locked.
 */
#ifndef CPROF_FORMAT_BATCH_H
#define CPROF_FORMAT_BATCH_H

#include "profile/profile.h"

struct batch {
    struct profile *profile;
    size_t column; /* whose sheet has the rows that are 0 in all */
    struct profile_entry entries[PROFILE_BATCH];
    size_t count;
    profile_id *frames; /* of all entries */
    size_t used, room;
};

/* Room for the frames of the next sample; NULL: out of memory. */
profile_id *batch_frames(struct batch *batch, size_t depth);

/* Takes a sample whose frames, if it has any, lie where batch_frames() said. 0, or -ENOMEM as
 * of profile_add_entries(). */
int batch_add(struct batch *batch, const struct profile_entry *entry);

/* Adds what has been gathered to the profile. */
int batch_flush(struct batch *batch);

void batch_free(struct batch *batch);

#endif
