/*
 * A process's memory map as the kernel tells it (/proc/PID/maps, proc(5)), which profilers of
 * native code put behind their addresses. Only code is of interest. Owned by one reader; not
 * locked.
 */
#ifndef CPROF_FORMAT_MAPS_H
#define CPROF_FORMAT_MAPS_H

#include "format/slice.h"
#include "profile/profile.h"

struct maps {
    struct profile_mapping *list; /* by start */
    size_t count;
};

/* Takes the lines that are of code; the program's own is the first, and gets the first id in
 * the profile. Once. False: out of memory. */
bool maps_read(struct maps *maps, struct profile *p, struct slice text);

/* The mapping that an address is in; 0: none. */
profile_id maps_find(const struct maps *maps, struct profile *p, uint64_t address);

void maps_free(struct maps *maps);

#endif
