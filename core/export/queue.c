#include "export/queue.h"

#include <stdlib.h>

struct queued *queued_new(struct profile *profile, uint32_t waiting)
{
    struct queued *entry = malloc(sizeof *entry);
    if (entry == NULL) {
        profile_free(profile);
        return NULL;
    }
    *entry = (struct queued){
        .profile = profile, .bytes = profile_memory(profile), .waiting = waiting};
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

static void unlink_at(struct queue *queue, struct queued **link)
{
    struct queued *entry = *link;
    *link = entry->next;
    entry->next = NULL;
    queue->count--;
    queue->bytes -= entry->bytes;
}

static bool overfull(const struct queue *queue)
{
    return queue->count > queue->max_count || queue->bytes > queue->max_bytes;
}

struct queued *queue_push(struct queue *queue, struct queued *entry)
{
    struct queued **end = &queue->oldest;
    while (*end != NULL)
        end = &(*end)->next;
    *end = entry;
    queue->count++;
    queue->bytes += entry->bytes;

    struct queued *evicted = NULL, **evicted_end = &evicted;
    struct queued **link = &queue->oldest;
    /* The newest stays even when it alone is over the bound: it exists already, and is the
     * one whose news is worth most. */
    while (overfull(queue) && *link != entry) {
        if ((*link)->busy) {
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
    struct queued **link = &queue->oldest;
    while (*link != entry)
        link = &(*link)->next;
    unlink_at(queue, link);
    return entry;
}

struct queued *queue_clear(struct queue *queue)
{
    struct queued *all = queue->oldest;
    queue->oldest = NULL;
    queue->count = queue->bytes = 0;
    return all;
}
