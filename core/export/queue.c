#include "export/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "profile/combine.h"

#define MERGED_SHARE 16 /* of the budget, for one merged profile */

struct queued *queued_new(struct profile *profile, uint32_t waiting)
{
    struct queued *entry = malloc(sizeof *entry);
    if (entry == NULL) {
        profile_free(profile);
        return NULL;
    }
    *entry = (struct queued){
        .profile = profile, .bytes = profile_memory(profile), .parts = 1, .waiting = waiting};
    return entry;
}

void queued_free(struct queued *list)
{
    while (list != NULL) {
        struct queued *next = list->next;
        profile_free(list->profile);
        free(list);
        list = next;
    }
}

void queued_identify(struct profile *profile)
{
    struct profile_header *header = profile_header(profile);
    static const uint8_t none[sizeof header->profile_id];
    if (memcmp(header->profile_id, none, sizeof none) != 0)
        return;
    uint64_t random[2];
    random_words(random);
    memcpy(header->profile_id, random, sizeof random);
}

/* 0, also when stacks had to be counted as "[overflow]". */
static int add(struct profile *target, const struct profile *source)
{
    int error = profile_merge_later(target, source);
    return error == -EOVERFLOW ? 0 : error;
}

struct queued *queued_merge(const struct queued *older, const struct queued *newer,
                            struct budget *whole)
{
    struct queued *entry = calloc(1, sizeof *entry);
    if (entry == NULL)
        return NULL;
    budget_init_share(&entry->budget, whole, MERGED_SHARE);
    entry->profile = profile_new(&entry->budget);
    if (entry->profile == NULL) {
        free(entry);
        return NULL;
    }
    if (add(entry->profile, older->profile) != 0 || add(entry->profile, newer->profile) != 0) {
        queued_free(entry);
        return NULL;
    }
    queued_identify(entry->profile);
    entry->bytes = profile_memory(entry->profile);
    entry->parts = older->parts + newer->parts;
    entry->waiting = older->waiting;
    entry->taken = older->taken && newer->taken;
    return entry;
}

struct queued *queued_halve(const struct queued *entry, uint32_t sink)
{
    size_t count = profile_sample_count(entry->profile);
    struct queued *list = NULL;
    if (count < 2)
        return NULL;
    for (int half = 1; half >= 0; half--) {
        size_t first = half == 0 ? 0 : count / 2, last = half == 0 ? count / 2 : count;
        struct profile *slice = profile_slice(entry->profile, first, last);
        struct queued *made = slice ? queued_new(slice, sink) : NULL;
        if (made == NULL) {
            queued_free(list);
            return NULL;
        }
        queued_identify(slice);
        made->piece = true;
        made->parts = half == 0 ? entry->parts : 0;
        made->next = list;
        list = made;
    }
    return list;
}

static void unlink_at(struct queue *queue, struct queued **link)
{
    struct queued *entry = *link;
    *link = entry->next;
    entry->next = NULL;
    queue->count--;
    queue->bytes -= entry->bytes;
}

static struct queued **link_of(struct queue *queue, const struct queued *entry)
{
    struct queued **link = &queue->oldest;
    while (*link != entry)
        link = &(*link)->next;
    return link;
}

static bool overfull(const struct queue *queue)
{
    return queue->count > queue->max_count || queue->bytes > queue->max_bytes;
}

bool queue_crowded(const struct queue *queue)
{
    return queue->count > queue->max_count - queue->max_count / 4 ||
           queue->bytes > queue->max_bytes - queue->max_bytes / 4;
}

static bool in_use(const struct queued *entry)
{
    return entry->readers > 0 || entry->merging;
}

struct queued *queue_push(struct queue *queue, struct queued *entry)
{
    struct queued **end = link_of(queue, NULL);
    *end = entry;
    queue->count++;
    queue->bytes += entry->bytes;

    struct queued *evicted = NULL, **evicted_end = &evicted;
    struct queued **link = &queue->oldest;
    /* The newest stays even when it alone is over the bound: it exists already, and is the
     * one whose news is worth most. */
    while (overfull(queue) && *link != entry) {
        if (in_use(*link)) {
            link = &(*link)->next;
            continue;
        }
        struct queued *oldest = *link;
        unlink_at(queue, link);
        *evicted_end = oldest;
        evicted_end = &oldest->next;
    }
    return evicted;
}

struct queued *queue_oldest(const struct queue *queue, uint32_t sink)
{
    struct queued *entry = queue->oldest;
    while (entry != NULL && !(entry->waiting & sink))
        entry = entry->next;
    return entry;
}

struct queued *queue_settle(struct queue *queue, struct queued *entry, uint32_t sink)
{
    entry->waiting &= ~sink;
    if (entry->waiting != 0)
        return NULL;
    unlink_at(queue, link_of(queue, entry));
    return entry;
}

static bool may_merge(const struct queued *a, const struct queued *b)
{
    return a->waiting == b->waiting && !in_use(a) && !in_use(b) && !a->piece && !b->piece &&
           !a->tried && !b->tried;
}

struct queued *queue_neighbours(const struct queue *queue)
{
    struct queued *best = NULL;
    uint64_t best_parts = UINT64_MAX;
    for (struct queued *entry = queue->oldest; entry && entry->next; entry = entry->next) {
        const struct queued *other = entry->next;
        uint64_t parts = entry->parts + other->parts;
        if (may_merge(entry, other) && parts < best_parts) {
            best = entry;
            best_parts = parts;
        }
    }
    return best;
}

struct queued *queue_replace(struct queue *queue, struct queued *first, size_t count,
                             struct queued *list)
{
    struct queued **link = link_of(queue, first), *gone = NULL, **gone_end = &gone;
    while (count-- > 0) {
        struct queued *entry = *link;
        unlink_at(queue, link);
        *gone_end = entry;
        gone_end = &entry->next;
    }
    while (list != NULL) {
        struct queued *entry = list;
        list = entry->next;
        entry->next = *link;
        *link = entry;
        link = &entry->next;
        queue->count++;
        queue->bytes += entry->bytes;
    }
    return gone;
}

struct queued *queue_clear(struct queue *queue)
{
    struct queued *all = queue->oldest;
    queue->oldest = NULL;
    queue->count = queue->bytes = 0;
    return all;
}
