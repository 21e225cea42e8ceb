/*
 * Names for code that a profile has none of, from the files that it ran from. For each mapping,
 * the first that is known to be its file:
 *
 *  - those of --binary: a program, library or debug file, or a folder of debug files by build
 * id;
 *  - the path that the mapping names;
 *  - the debug file of its build id below /usr/lib/debug/.build-id.
 *
 * A file is the mapping's if build ids (or, without one, htlhashes) agree. Where the profile
 * tells neither, a path is believed, and a file of --binary if it has the mapping's name or the
 * mapping is the program's.
 */
#ifndef CPROF_CLI_SYMBOLIZE_H
#define CPROF_CLI_SYMBOLIZE_H

#include <stddef.h>

#include "profile/profile.h"

#define SYMBOLIZE_BINARIES 64 /* of --binary */

struct symbolize {
    const char *paths[SYMBOLIZE_BINARIES];
    size_t count;
};

/* The profile with what could be named, or as it was; frees the one that it does not return.
 * NULL: out of memory. Says so when a file of --binary can't be read, or is of no mapping. */
struct profile *symbolize(const struct symbolize *symbolize, struct profile *profile);

#endif
