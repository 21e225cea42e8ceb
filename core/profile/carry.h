/*
 * Carrying samples from one profile into another: each row of the source is interned in the
 * target when a sample first needs it, and its new id remembered. What no carried sample
 * reaches stays behind. One thread; both profiles outlive the carrier.
 */
#ifndef CPROF_PROFILE_CARRY_H
#define CPROF_PROFILE_CARRY_H

#include "profile/combine.h"
#include "profile/profile.h"

struct carrier {
    const struct profile *from;
    struct profile *to;
    profile_id *strings, *mappings, *functions, *locations, *stacks, *links, *label_sets;
    struct profile_place places[PROFILE_MAX_VALUES]; /* for each column of the source */
    const struct profile_label
        *extra;          /* of the target: each sample gets those that it has no */
    size_t extra_count;  /* value of yet */
    const void *closure; /* of the next two */
    /* Copies what of a stack goes along, leaf first, and returns how much; NULL: all. */
    uint32_t (*choose)(const void *closure, struct profile_stack stack, profile_id *kept);
    /* Does a line of a location of the source go along? NULL: all do. */
    bool (*keeps)(const void *closure, profile_id location, uint32_t line);
    const struct profile_keys *without;  /* keys whose labels stay behind; NULL = none */
    const struct profile_naming *naming; /* of what has no lines; NULL = as it is */
    profile_id *ids;                     /* what the maps above lie in; 0 = not carried yet */
    /* One row's payload on its way, with room for the longest of the source. */
    profile_id *frames;
    struct profile_line *lines;
    struct profile_label *labels;
};

/* 0 or -ENOMEM. Columns stand one to one until the caller says otherwise. */
int carrier_init(struct carrier *c, struct profile *to, const struct profile *from);
void carrier_free(struct carrier *c);

/* The first mapping of the source becomes the target's, if that has none yet: it is the
 * program's (profile.h). */
void carry_program(struct carrier *c);

/* Other labels as `extra` from now on. */
void carrier_relabel(struct carrier *c, const struct profile_label *extra, size_t count);

/* As profile_add_row(), to the sheets that the columns of the sample are in. */
int carry_sample(struct carrier *c, const struct profile_sample *sample);
/* The same with the values that the target shall count, in its own columns. */
int carry_values(struct carrier *c, size_t column, const struct profile_sample *sample,
                 const int64_t *values);

/* All samples of `from` that `wants` takes (NULL: every one), whose stacks and lines go along
 * as `how` says of choose, keeps and closure. 0 or -ENOMEM. */
struct carry_rules {
    uint32_t (*choose)(const void *closure, struct profile_stack stack, profile_id *kept);
    bool (*keeps)(const void *closure, profile_id location, uint32_t line);
    bool (*wants)(void *closure, const struct profile_sample *sample);
    void *closure;
};
int carry_samples(struct profile *to, const struct profile *from,
                  const struct carry_rules *how);

/* The target's ids of parts of a sample, for those who put it together themselves. */
profile_id carry_stack(struct carrier *c, profile_id id);
profile_id carry_link(struct carrier *c, profile_id id);
profile_id carry_labels(struct carrier *c, profile_id id);

#endif
