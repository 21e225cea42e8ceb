/*
 * Which files of a store are to become one, and how. A lot is neighbours in the list, sorted by
 * service and time (entries_sort()), that cover one span of time:
 *
 *   - what has come of age: files whose time has come to be kept at a coarser resolution. Their
 *     intervals are merged with those of the same process in the same stretch of that length;
 *   - what lies scattered: small files of one resolution, of a span that is complete. They are
 *     only joined.
 *
 * Pure functions but for lot_rewrite().
 */
#ifndef CPROF_STORE_LOT_H
#define CPROF_STORE_LOT_H

#include "base/budget.h"
#include "store/ages.h"
#include "store/entry.h"

#define LOT_INTERVALS 30 /* that a block is to span: enough to share its names among */

struct lot {
    size_t first, count; /* in the list */
    uint32_t resolution; /* of the block that they become, in seconds */
    bool merge;          /* intervals, to that resolution */
    bool quick;          /* its block is of the finest one, and soon rewritten */
};

struct lot_rules {
    const struct ages *ages;
    uint64_t now;
    size_t largest; /* bytes of the files of a lot, unless it is one file */
};

/* The first lot there is; false: none. */
bool lot_find(const struct entries *entries, const struct lot_rules *rules, struct lot *lot);

/* The block of a lot's files as a half-written file, on the disk: 0 and *made. -EBADMSG: the
 * file number *damaged of the list is not what it says. -E2BIG: it does not fit into the memory
 * that it may hold (bytes; 0: no bound); or another negative errno. */
int lot_rewrite(int folder, const struct entries *entries, const struct lot *lot,
                struct budget *budget, size_t memory, struct entry *made, size_t *damaged);

#endif
