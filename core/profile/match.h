/*
 * Which sheet and column of one profile are those of another: columns by type and unit, sheets
 * by their columns. One thread.
 */
#ifndef CPROF_PROFILE_MATCH_H
#define CPROF_PROFILE_MATCH_H

#include "profile/combine.h"

/* Do strings of two profiles say the same? */
bool match_text(const struct profile *a, profile_id x, const struct profile *b, profile_id y);

/* Gives the target every sheet and column that the source has, and says which is which:
 * places[i] is the target's for the source's column i. A sheet goes to that which has the
 * first of its columns that the target knows, or else stays one of its own. A period that
 * differs becomes unknown; of several sheets that come to one, the first is asked. 0, -ENOMEM,
 * or -ENOSPC. */
int match_sheets(struct profile *target, const struct profile *source,
                 struct profile_place places[PROFILE_MAX_VALUES]);

#endif
