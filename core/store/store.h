/*
 * History on this machine (CPROF_STORE_DIR): a folder of blocks (entry.h), written by any
 * number of processes and services of one user, each of which also tends all of it.
 *
 * A profile is a file of its own as soon as it is closed, whole or not there, so that a process
 * that is killed loses nothing that was closed. Tending joins the files of some time into one
 * block, and when they have got old (ages.h) merges neighbours of one process into coarser
 * intervals: totals stay, whoever is killed when (swap.h). What is older than the last age
 * goes, and where the folder is over its limit whatever ends first goes first: nothing that is
 * newer is given up before what is older. A damaged file is removed, and one line says so.
 *
 * One process at a time tends, by the lock of ".cprof-store.lock"; the others go on writing.
 * Readers (read.h) hold that lock, shared, while they list the folder.
 *
 * A store belongs to one thread. Between two calls it is nothing but memory.
 */
#ifndef CPROF_STORE_STORE_H
#define CPROF_STORE_STORE_H

#include "base/budget.h"
#include "profile/profile.h"
#include "store/ages.h"

#define STORE_LOCK ".cprof-store.lock"
#define STORE_VARIABLE "CPROF_STORE_DIR"
#define STORE_LIMIT ((size_t)512 << 20) /* without CPROF_STORE_LIMIT */
#define STORE_MAX_FILES 10000

struct store_options {
    const char *folder;  /* made, but for its parents, where it is missing */
    const char *service; /* whose profiles are put */
    size_t limit;        /* bytes of all files together */
    struct ages ages;
    struct budget *budget; /* what is held while one is written or merged; NULL: unbounded */
};

struct store;

/* NULL with a line in `error`. */
struct store *store_open(const struct store_options *options, char *error, size_t error_size);
void store_close(struct store *store);

/* Writes a profile down; *size becomes that of its file. `now` is the Unix time in ns, here and
 * below. 0; -ENODATA: it has no values; -EFBIG: larger than the limit; or another negative
 * errno: it can't be written now. */
int store_put(struct store *store, const struct profile *profile, uint64_t now, size_t *size);

/* A step of tending: removes what has to go, and rewrites one lot of files at most. 1: there
 * may be more to do; 0: not now; -EBUSY: another process tends; or another negative errno. */
int store_tend(struct store *store, uint64_t now);

/* Is it time for that? About once a minute, and before the limit is passed. */
bool store_wants_tending(const struct store *store);

#endif
