#include "tables.h"

#include <string.h>
#include <sys/mman.h>

#include "isolate.h"
#include "isolate_list.h"
#include "quiet.h"
#include "room.h"

enum {
    SEEN_FIRST = 2048,
    PENDING_FIRST = 16384, /* a starved collector may be late: most of it is never touched */
    RECORDS_FIRST = 1024,
    PLACE_BYTES = PLACE_SLOTS * sizeof(struct place),
};

/* Zeroes, in pages that exist once they are touched: most of a table never is. */
static void *new_table(size_t bytes)
{
    void *table = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return table != MAP_FAILED ? table : NULL;
}

/* One of twice the size of an old one. What a table begins with is not drawn from the room: a
 * process of many workers has it for all. */
static void *new_double(size_t bytes)
{
    if (!room_take(bytes))
        return NULL;
    void *table = new_table(2 * bytes);
    if (table == NULL)
        room_give(bytes);
    return table;
}

static void free_table(void *table, size_t bytes, size_t first)
{
    if (table == NULL)
        return;
    munmap(table, bytes);
    room_give(bytes - first);
}

/* ---- seen ---- */

static size_t seen_bytes(size_t slots)
{
    return slots * sizeof(struct seen);
}

static void put_seen(struct seen *table, size_t slots, const struct seen *seen)
{
    struct seen *slot = seen_slot(table, slots, seen->key, 0);
    for (size_t i = 1; i < SEEN_PROBES && slot->key != 0; i++)
        slot = seen_slot(table, slots, seen->key, i);
    atomic_store_explicit(&slot->key, seen->key, memory_order_relaxed);
    slot->number = seen->number;
}

static void grow_seen(struct isolate *isolate)
{
    size_t slots = isolate->seen_slots;
    struct seen *grown = new_double(seen_bytes(slots));
    if (grown == NULL)
        return;
    isolate->seen_used = 0;
    for (size_t i = 0; i < slots; i++) {
        if (isolate->seen[i].key == 0)
            continue;
        put_seen(grown, 2 * slots, &isolate->seen[i]);
        isolate->seen_used++;
    }
    munmap(isolate->seen, seen_bytes(slots));
    isolate->seen = grown;
    isolate->seen_slots = 2 * slots;
}

/* ---- pending ---- */

static size_t pending_bytes(uint32_t max)
{
    return max * sizeof(struct pending);
}

static void grow_pending(struct isolate *isolate)
{
    uint32_t count = atomic_load(&isolate->pending_count);
    struct pending *grown = new_double(pending_bytes(isolate->pending_max));
    if (grown == NULL) {
        room_tell(ROOM_LIMIT);
        return;
    }
    memcpy(grown, isolate->pending, pending_bytes(count));
    munmap(isolate->pending, pending_bytes(isolate->pending_max));
    isolate->pending = grown;
    isolate->pending_max *= 2;
}

/* ---- records ---- */

static size_t record_bytes(uint32_t slots)
{
    return slots * sizeof(struct record *);
}

bool tables_grow_records(struct isolate *isolate)
{
    uint32_t slots = isolate->record_slots;
    struct record **grown = new_double(record_bytes(slots));
    if (grown == NULL)
        return false;
    for (uint32_t number = isolate->oldest; number != isolate->oldest + slots; number++)
        grown[number % (2 * slots)] = isolate->records[number % slots];
    munmap(isolate->records, record_bytes(slots));
    isolate->records = grown;
    isolate->record_slots = 2 * slots;
    return true;
}

/* ---- all ---- */

void tables_grow(struct isolate *isolate)
{
    bool seen = isolate->seen_used > isolate->seen_slots / 2;
    bool pending = isolate->pending_most > isolate->pending_max / 2;
    isolate->pending_most = 0;
    if (!seen && !pending)
        return;
    uint64_t before = quiet_begin();
    if (seen)
        grow_seen(isolate);
    if (pending)
        grow_pending(isolate);
    quiet_end(before);
}

bool tables_make(struct isolate *isolate)
{
    isolate->seen = new_table(seen_bytes(SEEN_FIRST));
    isolate->seen_slots = SEEN_FIRST;
    isolate->pending = new_table(pending_bytes(PENDING_FIRST));
    isolate->pending_max = PENDING_FIRST;
    isolate->places = new_table(PLACE_BYTES);
    struct record **records = new_table(record_bytes(RECORDS_FIRST));
    isolates_lock();
    isolate->records = records;
    isolate->record_slots = RECORDS_FIRST;
    isolates_unlock();
    if (isolate->seen && isolate->pending && isolate->places && records)
        return true;
    isolates_lock();
    tables_free_records(isolate);
    isolates_unlock();
    tables_free_handlers(isolate);
    return false;
}

void tables_free_handlers(struct isolate *isolate)
{
    free_table(isolate->seen, seen_bytes(isolate->seen_slots), seen_bytes(SEEN_FIRST));
    free_table(isolate->pending, pending_bytes(isolate->pending_max),
               pending_bytes(PENDING_FIRST));
    free_table(isolate->places, PLACE_BYTES, PLACE_BYTES);
    isolate->seen = NULL;
    isolate->pending = NULL;
    isolate->places = NULL;
    isolate->seen_used = 0;
    isolate->pending_most = 0;
    atomic_store(&isolate->pending_count, 0);
}

void tables_free_records(struct isolate *isolate)
{
    free_table(isolate->records, record_bytes(isolate->record_slots),
               record_bytes(RECORDS_FIRST));
    isolate->records = NULL;
}
