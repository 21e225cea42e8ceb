/*
 * Carrying samples from one profile into another: each row of the source is interned in the
 * target when a sample first needs it, and its new id remembered. What no carried sample
 * reaches stays behind. One thread; both profiles outlive the carrier.
 */
#ifndef CPROF_PROFILE_CARRY_H
#define CPROF_PROFILE_CARRY_H

#include "profile/profile.h"

struct carrier {
    const struct profile *from;
    struct profile *to;
    profile_id *strings, *mappings, *functions, *locations, *stacks, *links, *label_sets;
    size_t column[PROFILE_MAX_VALUES]; /* of the target, for each column of the source */
    const struct profile_label *extra; /* of the target: each sample gets it; NULL = none */
    profile_id *ids;                   /* what the maps above lie in; 0 = not carried yet */
    /* One row's payload on its way, with room for the longest of the source. */
    profile_id *frames;
    struct profile_line *lines;
    struct profile_label *labels;
};

/* 0 or -ENOMEM. Columns stand one to one until the caller says otherwise. */
int carrier_init(struct carrier *c, struct profile *to, const struct profile *from);
void carrier_free(struct carrier *c);

/* As profile_add(). */
int carry_sample(struct carrier *c, const struct profile_sample *sample);
/* The same with the values that the target shall count, in its own columns. */
int carry_values(struct carrier *c, const struct profile_sample *sample, const int64_t *values);

/* The target's ids of parts of a sample, for those who put it together themselves. */
profile_id carry_stack(struct carrier *c, profile_id id);
profile_id carry_link(struct carrier *c, profile_id id);

#endif
