/*
 * What a profile's tables are made of: budgeted memory, an arena for payloads that never move
 * (string bytes, frame lists), growing rows, and an open-addressing index from hash to row.
 *
 * Owned by one profile (or one encoder) and not locked. Every byte is drawn from the budget
 * before it is allocated; where the budget or malloc says no, nothing has changed and the
 * caller is informed. Nothing shrinks before it is freed as a whole.
 */
#ifndef CPROF_PROFILE_MEMORY_H
#define CPROF_PROFILE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"

struct memory {
    struct budget *budget; /* NULL: unlimited */
    size_t held;           /* bytes drawn */
    size_t limit;          /* of those; 0: none but the budget's */
};

/* realloc() that knows its old size; old_size 0 goes with NULL. NULL: refused, `old` lives. */
void *memory_resize(struct memory *memory, void *old, size_t old_size, size_t new_size);
void memory_release(struct memory *memory, void *block, size_t size);

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks; /* newest first */
    unsigned char *free, *end;  /* what is left of the newest */
};

/* `alignment` is a power of two up to 8. */
void *arena_take(struct arena *arena, struct memory *memory, size_t size, size_t alignment);
void arena_free(struct arena *arena, struct memory *memory);

/* An array of equal rows that is addressed by position and moves when it grows. */
struct rows {
    unsigned char *data;
    size_t row_size;
    uint32_t count, capacity; /* in rows */
};

/* Room for one more row. False: no room, or 2^32 - 1 rows. */
bool rows_reserve(struct rows *rows, struct memory *memory);
void rows_free(struct rows *rows, struct memory *memory);

static inline void *rows_at(const struct rows *rows, uint32_t position)
{
    return rows->data + (size_t)position * rows->row_size;
}

/* Hash to row. It keeps 32 bits of the hash beside the row's number, so that it can grow, and
 * reject most strangers, without looking at a row. Row 0 is never in it. */
struct index_slot {
    uint32_t hash;
    uint32_t row; /* 0 = empty */
};

struct index {
    struct index_slot *slots;
    uint32_t mask; /* slots - 1; a power of two of them */
    uint32_t count;
};

/* The first or next row whose hash is `hash`, or 0. `*step` starts at 0. */
static inline uint32_t index_next(const struct index *index, uint32_t hash, uint32_t *step)
{
    if (index->slots == NULL)
        return 0;
    for (;;) {
        const struct index_slot *slot = &index->slots[(hash + (*step)++) & index->mask];
        if (slot->row == 0 || slot->hash == hash)
            return slot->row;
    }
}

/* Asks for the memory that the look-up of a hash begins with. */
static inline void index_fetch(const struct index *index, uint32_t hash)
{
    if (index->slots != NULL)
        __builtin_prefetch(&index->slots[hash & index->mask]);
}

/* Room for one more entry, at a load of three quarters at most. */
bool index_reserve(struct index *index, struct memory *memory);
/* After index_reserve(). */
void index_put(struct index *index, uint32_t hash, uint32_t row);
void index_free(struct index *index, struct memory *memory);

#endif
