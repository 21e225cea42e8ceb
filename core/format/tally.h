/*
 * Samples added up before they go into a sum: neighbours in time mostly have the same stacks,
 * and a number for a place is sooner found than a sample in a large profile. A line is what one
 * sheet has of one label set: its values by stack. All ids are the sum's.
 *
 * Holds up to TALLY_CELLS values, beyond which all of them go into the sum. They have to go
 * there by tally_flush() before the sum is read, changes the unit of a column, or becomes
 * another profile. Belongs to who owns the sum.
 */
#ifndef CPROF_FORMAT_TALLY_H
#define CPROF_FORMAT_TALLY_H

#include "profile/combine.h"

#define TALLY_LINES 64
#define TALLY_CELLS ((size_t)4 << 20)

/* What a line's values are. */
struct tally_key {
    profile_id labels;
    size_t width;
    const struct profile_place *places; /* of each of them */
};

struct tally_line {
    profile_id labels;
    size_t width;
    struct profile_place places[PROFILE_MAX_VALUES];
    size_t room;        /* stacks that it has place for */
    int64_t *values;    /* `width` of each stack */
    bool *seen;         /* has the stack any? */
    profile_id *stacks; /* those, in the order in which they came */
    size_t count;
};

/* Begins as {0}. */
struct tally {
    size_t lines, cells;
    struct tally_line line[TALLY_LINES];
};

/* The line of that key; NULL: there is no room for one. Those of before end where all goes into
 * the sum, of which *flushed tells. */
struct tally_line *tally_find(struct tally *tally, struct profile *sum,
                              const struct tally_key *key, bool *flushed);

/* Adds the values of a stack. 0 or -ENOMEM: nothing was added. Where it is other lines that
 * leave no room, tally_make_room() has put all into the sum, and lines of before have ended. */
int tally_add(struct tally *tally, struct tally_line *line, profile_id stack,
              const int64_t *values);

/* The same of a stack that the line has, in a few instructions; false: it has it not. */
static inline bool tally_add_known(struct tally_line *line, profile_id stack,
                                   const int64_t *values)
{
    if (stack >= line->room || !line->seen[stack])
        return false;
    int64_t *sums = line->values + (size_t)stack * line->width;
    for (size_t i = 0; i < line->width; i++)
        sums[i] = clamp_add(sums[i], values[i]);
    return true;
}

bool tally_make_room(struct tally *tally, const struct tally_line *line, struct profile *sum);

/* Adds all to the sum, and forgets it. 0 or -ENOMEM. */
int tally_flush(struct tally *tally, struct profile *sum);

/* Ends it; what has not been flushed is gone. */
void tally_free(struct tally *tally);

#endif
