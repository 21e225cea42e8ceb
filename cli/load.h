/*
 * Many profiles read and added up: by as many threads as there are processors, each a run of
 * files one after the other, so that memory holds the sums and one file a thread.
 */
#ifndef CPROF_CLI_LOAD_H
#define CPROF_CLI_LOAD_H

#include <stdbool.h>
#include <stddef.h>

#include "profile/combine.h"
#include "profile/profile.h"

/* What is kept of when things were. */
enum load_keep {
    KEEP_NOTHING,
    KEEP_INTERVALS, /* what was when is told apart: see below */
    KEEP_PAST,      /* and levels are there as they were before, with HTML_PAST: for a page */
};

struct load {
    bool skip_broken; /* tells about files that can't be read, and leaves them out; else they
                         are the end */
    enum load_keep keep;
    const struct profile_filter *filter; /* what of each file counts; NULL: all */
};

/* The label that KEEP_INTERVALS gives the samples: the time that their file covers, as
 * "2026-01-31T12:00:00.000Z/2026-01-31T12:00:10.000Z" (ISO 8601). Samples that have one keep
 * it, files that tell no time have none, nor has a file that is alone. Of many files,
 * neighbours share one, so that there are at most about LOAD_INTERVALS. */
#define LOAD_INTERVAL "cprof.interval"
#define LOAD_INTERVALS 240

/* That label's text; false, and nothing is written: it is of no time. In ns. */
#define LOAD_INTERVAL_SIZE 80
bool load_write_interval(char text[LOAD_INTERVAL_SIZE], uint64_t from, uint64_t to);

/* Adds a profile, labelled with the time that it covers, to a sum, which begins as NULL. 0 or
 * as profile_merge_apart(). */
int load_add_interval(struct profile **sum, const struct profile *group);

/* Likewise levels that were before the last, for a page; those of no time are left out. They
 * are freed. */
int load_add_past(struct profile **sum, struct profile *levels);

/* A new profile without them; NULL: out of memory. */
struct profile *load_without_past(const struct profile *profile);

/* *profile is the sum, owned by the caller; NULL when every file was left out. An exit code,
 * with the reason printed, or GO_ON. */
int load_files(const struct load *load, char *const *paths, size_t count,
               struct profile **profile);

/* Can what is read there be read again? A pipe can't. */
bool load_can_read_again(const char *path);

#endif
