#include "symbol/strings.h"

#include <stdbool.h>
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

/* The length of the UTF-8 sequence at `s`, or 0 if there is none that formats would take. */
static size_t sequence_length(const unsigned char *s)
{
    static const uint32_t least[] = {0, 0x20, 0x80, 0x800, 0x10000};
    size_t length = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    uint32_t code = length == 1 ? s[0] : s[0] & (0x7fu >> length);
    if ((s[0] >= 0x80 && s[0] < 0xc0) || s[0] >= 0xf8 || s[0] == 0x7f)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80) /* the NUL at the end included */
            return 0;
        code = code << 6 | (s[i] & 0x3f);
    }
    bool surrogate = code >= 0xd800 && code < 0xe000;
    return code < least[length] || code > 0x10ffff || surrogate ? 0 : length;
}

/* Copies a string as far as it goes, with '?' for what may not be in it. */
static void make_clean(const char *string, char clean[STRINGS_LONGEST])
{
    const unsigned char *s = (const unsigned char *)string;
    size_t used = 0;
    while (*s) {
        size_t length = sequence_length(s), take = length ? length : 1;
        if (used + take >= STRINGS_LONGEST)
            break;
        if (length)
            memcpy(clean + used, s, length);
        else
            clean[used] = '?';
        used += take;
        s += take;
    }
    clean[used] = '\0';
}

const char *strings_keep(struct strings *strings, const char *string)
{
    char clean[STRINGS_LONGEST];
    make_clean(string, clean);
    if (strings->count >= strings->capacity / 4 * 3 && !grow(strings))
        return NULL;
    const char **slot = find_slot(strings->slots, strings->capacity, clean);
    if (*slot)
        return *slot;
    size_t size = strlen(clean) + 1;
    char *copy = room_for(strings, size);
    if (!copy)
        return NULL;
    memcpy(copy, clean, size);
    *slot = copy;
    strings->count++;
    return copy;
}
