/*
 * What a profile tells of others that were lost (its attributes cprof.profiles_failed and
 * cprof.profiles_dropped) is lost with it, and has to be told anew by a later one. This counts
 * what is to be told. Thread-safe: no state of its own.
 */
#ifndef CPROF_EXPORT_UNTOLD_H
#define CPROF_EXPORT_UNTOLD_H

#include <stdint.h>

#include "profile/profile.h"

struct untold {
    uint64_t failed, dropped; /* profiles */
};

/* A profile is lost that nobody has received. */
void untold_lost(struct untold *untold, const struct profile *profile);
void untold_add(struct untold *untold, const struct untold *more);

#endif
