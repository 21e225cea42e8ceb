/*
 * What a profile reports of others that were lost (its attributes cprof.profiles_failed and
 * cprof.profiles_dropped) is lost with it, and has to be reported again by a later one. This
 * counts it. Thread-safe: no state of its own.
 */
#ifndef CPROF_EXPORT_UNREPORTED_H
#define CPROF_EXPORT_UNREPORTED_H

#include <stdint.h>

#include "profile/profile.h"

struct unreported {
    uint64_t failed, dropped; /* profiles */
};

/* A profile is lost that nobody has received. */
void unreported_lost(struct unreported *unreported, const struct profile *profile);
void unreported_add(struct unreported *unreported, const struct unreported *more);

#endif
