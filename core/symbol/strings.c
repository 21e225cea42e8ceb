#include "symbol/strings.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define CHUNK_SIZE 1024 /* most modules need a few names only */
#define FIRST_CAPACITY 16

struct strings_chunk {
    struct strings_chunk *next;
    size_t size, used; /* of bytes */
    char bytes[];
};

void strings_init(struct strings *strings, struct budget *budget)
{
    *strings = (struct strings){.budget = budget};
}

void strings_free(struct strings *strings)
{
    for (struct strings_chunk *chunk = strings->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        budget_give(strings->budget, sizeof *chunk + chunk->size);
        free(chunk);
    }
    budget_give(strings->budget, strings->capacity * sizeof *strings->slots);
    free(strings->slots);
    strings_init(strings, strings->budget);
}

static void *take_zeroed(struct budget *budget, size_t bytes)
{
    if (!budget_take(budget, bytes))
        return NULL;
    void *memory = calloc(1, bytes);
    if (!memory)
        budget_give(budget, bytes);
    return memory;
}

/* The slot that holds the string, or the free one where it belongs. */
static const char **find_slot(const char **slots, size_t capacity, const char *string)
{
    size_t i = hash_bytes(string, strlen(string)) & (capacity - 1);
    while (slots[i] && strcmp(slots[i], string))
        i = (i + 1) & (capacity - 1);
    return &slots[i];
}

static bool grow(struct strings *strings)
{
    size_t capacity = strings->capacity ? strings->capacity * 2 : FIRST_CAPACITY;
    const char **slots = take_zeroed(strings->budget, capacity * sizeof *slots);
    if (!slots)
        return false;
    for (size_t i = 0; i < strings->capacity; i++) {
        if (strings->slots[i])
            *find_slot(slots, capacity, strings->slots[i]) = strings->slots[i];
    }
    budget_give(strings->budget, strings->capacity * sizeof *slots);
    free(strings->slots);
    strings->slots = slots;
    strings->capacity = capacity;
    return true;
}

static char *room_for(struct strings *strings, size_t size)
{
    struct strings_chunk *chunk = strings->chunks;
    if (!chunk || chunk->size - chunk->used < size) {
        size_t bytes = size > CHUNK_SIZE ? size : CHUNK_SIZE;
        chunk = take_zeroed(strings->budget, sizeof *chunk + bytes);
        if (!chunk)
            return NULL;
        chunk->size = bytes;
        chunk->next = strings->chunks;
        strings->chunks = chunk;
    }
    char *room = chunk->bytes + chunk->used;
    chunk->used += size;
    return room;
}

const char *strings_keep(struct strings *strings, const char *string)
{
    if (strings->count >= strings->capacity / 4 * 3 && !grow(strings))
        return NULL;
    const char **slot = find_slot(strings->slots, strings->capacity, string);
    if (*slot)
        return *slot;
    size_t size = strlen(string) + 1;
    char *copy = room_for(strings, size);
    if (!copy)
        return NULL;
    memcpy(copy, string, size);
    *slot = copy;
    strings->count++;
    return copy;
}
