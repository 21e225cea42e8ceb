/*
 * The profiles that wait for delivery, oldest first, each with the set of sinks that have not
 * taken it yet. A profile leaves when the last sink has.
 *
 * Not locked: the exporter calls with its own lock held. Bounded by count and by the bytes of
 * the profiles; when full, the oldest ones make room for the newest, except the one that is
 * being delivered. Functions hand out what left the queue instead of freeing it, so that
 * nobody frees a large profile under the lock.
 */
#ifndef CPROF_EXPORT_QUEUE_H
#define CPROF_EXPORT_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profile/profile.h"

struct queued {
    struct queued *next;
    struct profile *profile; /* owned */
    size_t bytes;
    uint32_t waiting; /* bit i: sink i has not taken it */
    bool busy;        /* being read by a delivery: must stay */
};

struct queue {
    struct queued *oldest;
    size_t count, bytes;
    size_t max_count, max_bytes;
};

/* Makes an entry outside the lock. Takes ownership of the profile, even on failure: NULL means
 * that it has been freed. */
struct queued *queued_new(struct profile *profile, uint32_t waiting);
void queued_free(struct queued *list); /* a whole list */

/* Appends, and returns the list of those that had to go for it, or NULL. */
struct queued *queue_push(struct queue *queue, struct queued *entry);

/* The oldest that the sink with this bit has not taken, or NULL. */
struct queued *queue_oldest(const struct queue *queue, uint32_t sink);

/* That sink needs it no more: returns the entry if it was the last one, now unlinked. */
struct queued *queue_settle(struct queue *queue, struct queued *entry, uint32_t sink);

/* Empties the queue and returns all of it. */
struct queued *queue_clear(struct queue *queue);

#endif
