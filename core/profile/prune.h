/*
 * pprof's drop_frames and keep_frames: what a profile says is of no interest to those who read
 * it, such as the allocator's own functions below the one that asked for memory.
 *
 * As pprof's tools do it: a frame whose function's whole name matches the first pattern and not
 * the second goes, with all that it called; of functions inlined into each other those from the
 * match on. Names are matched without their arguments. Frames before the first that stays, from
 * the root on, are kept, so that no stack is dropped whole.
 */
#ifndef CPROF_PROFILE_PRUNE_H
#define CPROF_PROFILE_PRUNE_H

#include "profile/profile.h"

/* Does the profile have such a rule? */
bool profile_has_prune(const struct profile *p);

/* A new profile by its own rules, which it keeps. 0; -EINVAL for patterns that are not known
 * (pattern.h), -ENOMEM. */
int profile_prune(const struct profile *source, struct profile **pruned);

/* What a rule is matched against: a name up to its arguments, which begin at a "(" that is no
 * part of it, without the dot that function symbols of some machines begin with. Returns its
 * length. */
size_t prune_simple_name(const char **name, size_t length);

#endif
