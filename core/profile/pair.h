/*
 * Two profiles as one, to be compared: each stack, label set and link once, with what either
 * side has of it. Borrows nothing: both sides may be freed afterwards. One thread.
 *
 * A comparison has to know how many samples stand behind a value. They are taken from the
 * column "samples"; a value that is a count itself is its own number, but for the objects of a
 * profile that looks once in so many bytes: those are scaled up, and the bytes tell; else the
 * value is divided by the period; a profile that tells none of that counts each of its records
 * once.
 *
 * Nor is each sample an observation of its own: where a timer is faster than the kernel looks
 * at it, several expiries come with one signal and are one look at the thread (a sample's
 * weight). cprof's profiles say how many.
 */
#ifndef CPROF_PROFILE_PAIR_H
#define CPROF_PROFILE_PAIR_H

#include "profile/profile.h"

enum pair_column {
    PAIR_NEW,
    PAIR_BASE,
    PAIR_NEW_SAMPLES,
    PAIR_BASE_SAMPLES,
    PAIR_COLUMNS,
};

/* One side: a profile and which of its values is looked at. */
struct pair_side {
    const struct profile *profile;
    size_t column;
};

/* How many samples one observation of the column stands for in the mean; 1 where nobody tells,
 * and of what no timer samples. */
double pair_weight(const struct profile *profile, size_t column);

/* A profile with the columns above and the header of the new side. NULL: out of memory. */
struct profile *profile_pair(const struct pair_side *base, const struct pair_side *new);

#endif
