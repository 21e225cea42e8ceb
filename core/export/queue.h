/*
 * The profiles that wait for delivery in memory, oldest first, each with the set of sinks that
 * have not taken it yet. A profile leaves when the last sink has.
 *
 * Bounded by count and by the bytes of the profiles. When three quarters are full, neighbours
 * are merged into coarser profiles, those that cover the least first, so that an outage of any
 * length fits in with its totals right: queue_crowded() says that it is time,
 * queue_neighbours() picks two, queued_merge() makes one of them (slow: without the lock),
 * queue_replace() puts it in their place. A merged profile is bounded too: stacks past its
 * share of the budget count as
 * "[overflow]". Only when nobody had the time to merge, the oldest make room for the newest,
 * except one that is being read.
 *
 * Not locked: the exporter calls with its own lock held, but for the functions named queued_…,
 * which know no queue. Functions hand out what left the queue instead of freeing it, so that
 * nobody frees a large profile under the lock.
 */
#ifndef CPROF_EXPORT_QUEUE_H
#define CPROF_EXPORT_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"
#include "profile/profile.h"

struct queued {
    struct queued *next;
    struct profile *profile; /* owned */
    size_t bytes;
    uint64_t parts;       /* submitted profiles that it is made of; 0: a part of one that the
                             other part stands for */
    uint32_t waiting;     /* bit i: sink i has not taken it */
    unsigned readers;     /* deliveries that are reading it: must stay */
    bool piece;           /* of one that was too large: never merged again */
    bool tried;           /* was sent, and may have arrived: likewise, as receivers know it by
                             its profile_id */
    bool taken;           /* some sink has it, or its parts */
    bool merging;         /* its samples are on their way into another: not for delivery */
    struct budget budget; /* of a merged profile */
};

struct queue {
    struct queued *oldest;
    size_t count, bytes;
    size_t max_count, max_bytes;
};

/* Makes an entry. Takes ownership of the profile, even on failure: NULL means that it has been
 * freed. */
struct queued *queued_new(struct profile *profile, uint32_t waiting);
void queued_free(struct queued *list); /* a whole list */

/* Two entries as one, with its share of `whole` (NULL: unbounded), or NULL: out of memory. */
struct queued *queued_merge(const struct queued *older, const struct queued *newer,
                            struct budget *whole);

/* The entry's samples in two, for that sink: a list, or NULL: it can't be cut further (one
 * sample, or out of memory). */
struct queued *queued_halve(const struct queued *entry, uint32_t sink);

/* Gives the profile an id of its own if it has none: receivers know a profile that was sent
 * twice by it. */
void queued_identify(struct profile *profile);

/* Appends, and returns the list of those that had to go for it, or NULL. */
struct queued *queue_push(struct queue *queue, struct queued *entry);

/* The oldest that the sink with this bit has not taken, or NULL. */
struct queued *queue_oldest(const struct queue *queue, uint32_t sink);

/* That sink needs it no more: returns the entry if it was the last one, now unlinked. */
struct queued *queue_settle(struct queue *queue, struct queued *entry, uint32_t sink);

/* Is it time to merge? */
bool queue_crowded(const struct queue *queue);

/* The first of the two neighbours (the other is its `next`) that are best merged, or NULL: none
 * that wait for the same sinks and are not in use. */
struct queued *queue_neighbours(const struct queue *queue);

/* Puts `list` in the place of `count` entries from `first` on, and returns those. */
struct queued *queue_replace(struct queue *queue, struct queued *first, size_t count,
                             struct queued *list);

/* Empties the queue and returns all of it. */
struct queued *queue_clear(struct queue *queue);

#endif
