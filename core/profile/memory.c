#include "profile/memory.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_MIN ((size_t)2048)
#define CHUNK_MAX ((size_t)65536)
#define ROWS_MIN 8U
#define SLOTS_MIN 16U

void *memory_resize(struct memory *memory, void *old, size_t old_size, size_t new_size)
{
    /* The old block is given back only afterwards: while realloc() copies, both exist. */
    bool beyond = memory->limit != 0 && memory->held - old_size + new_size > memory->limit;
    if (beyond || !budget_take(memory->budget, new_size))
        return NULL;
    void *block = realloc(old, new_size);
    if (block == NULL) {
        budget_give(memory->budget, new_size);
        return NULL;
    }
    budget_give(memory->budget, old_size);
    memory->held += new_size - old_size;
    return block;
}

void memory_release(struct memory *memory, void *block, size_t size)
{
    if (block == NULL)
        return;
    free(block);
    budget_give(memory->budget, size);
    memory->held -= size;
}

struct arena_chunk {
    struct arena_chunk *older;
    size_t size; /* this head included */
};

static bool arena_grow(struct arena *arena, struct memory *memory, size_t need)
{
    if (need > SIZE_MAX / 2)
        return false;
    /* An eighth of what is held already: small profiles stay small, large ones make few
     * chunks. */
    size_t size = memory->held / 8;
    if (size < CHUNK_MIN)
        size = CHUNK_MIN;
    if (size > CHUNK_MAX)
        size = CHUNK_MAX;
    if (size < need + sizeof(struct arena_chunk))
        size = need + sizeof(struct arena_chunk);
    struct arena_chunk *chunk = memory_resize(memory, NULL, 0, size);
    if (chunk == NULL)
        return false;
    chunk->older = arena->chunks;
    chunk->size = size;
    arena->chunks = chunk;
    arena->free = (unsigned char *)(chunk + 1);
    arena->end = (unsigned char *)chunk + size;
    return true;
}

void *arena_take(struct arena *arena, struct memory *memory, size_t size, size_t alignment)
{
    size_t padding = (size_t)(-(uintptr_t)arena->free & (alignment - 1));
    if (arena->free == NULL || size > (size_t)(arena->end - arena->free) ||
        padding > (size_t)(arena->end - arena->free) - size) {
        if (!arena_grow(arena, memory, size))
            return NULL;
        padding = 0; /* a chunk's first byte is aligned for anything */
    }
    void *block = arena->free + padding;
    arena->free += padding + size;
    return block;
}

void arena_free(struct arena *arena, struct memory *memory)
{
    while (arena->chunks != NULL) {
        struct arena_chunk *chunk = arena->chunks;
        arena->chunks = chunk->older;
        memory_release(memory, chunk, chunk->size);
    }
    arena->free = arena->end = NULL;
}

bool rows_reserve(struct rows *rows, struct memory *memory)
{
    if (rows->count < rows->capacity)
        return true;
    if (rows->count == UINT32_MAX)
        return false;
    uint64_t wanted = (uint64_t)rows->capacity + rows->capacity / 2;
    uint32_t capacity = wanted < ROWS_MIN     ? ROWS_MIN
                        : wanted > UINT32_MAX ? UINT32_MAX
                                              : (uint32_t)wanted;
    void *data = memory_resize(memory, rows->data, rows->capacity * rows->row_size,
                               capacity * rows->row_size);
    if (data == NULL)
        return false;
    rows->data = data;
    rows->capacity = capacity;
    return true;
}

void rows_free(struct rows *rows, struct memory *memory)
{
    memory_release(memory, rows->data, rows->capacity * rows->row_size);
    rows->data = NULL;
    rows->count = rows->capacity = 0;
}

static size_t index_size(const struct index *index)
{
    return index->slots == NULL ? 0 : ((size_t)index->mask + 1) * sizeof(*index->slots);
}

bool index_reserve(struct index *index, struct memory *memory)
{
    uint64_t slots = index->slots == NULL ? 0 : (uint64_t)index->mask + 1;
    if ((uint64_t)index->count + 1 <= slots / 4 * 3)
        return true;
    uint64_t wanted = slots == 0 ? SLOTS_MIN : slots * 2;
    if (wanted > (uint64_t)UINT32_MAX + 1)
        return false;
    struct index grown = {.mask = (uint32_t)(wanted - 1)};
    grown.slots = memory_resize(memory, NULL, 0, wanted * sizeof(*grown.slots));
    if (grown.slots == NULL)
        return false;
    memset(grown.slots, 0, wanted * sizeof(*grown.slots));
    for (uint64_t i = 0; i < slots; i++)
        if (index->slots[i].row != 0)
            index_put(&grown, index->slots[i].hash, index->slots[i].row);
    index_free(index, memory);
    *index = grown;
    return true;
}

void index_put(struct index *index, uint32_t hash, uint32_t row)
{
    uint32_t position = hash & index->mask;
    while (index->slots[position].row != 0)
        position = (position + 1) & index->mask;
    index->slots[position] = (struct index_slot){.hash = hash, .row = row};
    index->count++;
}

void index_free(struct index *index, struct memory *memory)
{
    memory_release(memory, index->slots, index_size(index));
    *index = (struct index){0};
}
