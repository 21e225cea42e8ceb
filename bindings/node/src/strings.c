#include "strings.h"

#define HEAP_VIEW
#include "heap.h"
#include "layout.h"

/* The low bits of a string's instance type; the same in V8 10 to 14, and exported. */
enum {
    NOT_STRING = ~0x7f,
    FORM = 7,
    FORM_SEQUENTIAL = 0,
    FORM_CONS = 1,
    FORM_EXTERNAL = 2,
    FORM_SLICED = 3,
    FORM_THIN = 5,
    ONE_BYTE = 8,
    UNCACHED = 16, /* an external string that does not keep where its characters are */
    DEPTH_MAX = 16,
};

bool strings_is(uintptr_t word)
{
    return heap_is_object(word) && (heap_type(word) & NOT_STRING) == 0;
}

static uint32_t length_of(uintptr_t word)
{
    return heap_int(word, layout.string_length);
}

static bool point(struct characters *characters, int type, uintptr_t data, uint32_t offset)
{
    const size_t unit = type & ONE_BYTE ? sizeof(uint8_t) : sizeof(uint16_t);
    const void *bytes = heap_bytes(data + unit * offset, unit * characters->length);
    characters->one = type & ONE_BYTE ? bytes : NULL;
    characters->two = type & ONE_BYTE ? NULL : bytes;
    return bytes != NULL;
}

bool strings_look(uintptr_t word, struct characters *characters)
{
    uint32_t offset = 0;
    if (!strings_is(word))
        return false;
    characters->length = length_of(word);
    for (int depth = 0; depth < DEPTH_MAX && strings_is(word); depth++) {
        int type = heap_type(word);
        switch (type & FORM) {
        case FORM_SEQUENTIAL:
            return point(characters, type, word - 1 + (uintptr_t)layout.string_data, offset);
        case FORM_EXTERNAL:
            if (type & UNCACHED)
                return false;
            return point(characters, type, heap_word(word, layout.external_resource + 8),
                         offset);
        case FORM_THIN:
            word = heap_word(word, layout.string_actual);
            break;
        case FORM_SLICED:
            offset += (uint32_t)heap_smi(heap_word(word, layout.string_offset));
            word = heap_word(word, layout.string_parent);
            break;
        case FORM_CONS:
            if (length_of(heap_word(word, layout.string_second)) != 0)
                return false;
            word = heap_word(word, layout.string_first);
            break;
        default:
            return false;
        }
    }
    return false;
}

/* ---- copies ---- */

struct sink {
    char *out;
    size_t used, size;
};

static void put(struct sink *sink, uint32_t point)
{
    char bytes[4];
    size_t count = 0;
    if (point < 0x80) {
        bytes[count++] = (char)(point < 0x20 || point == 0x7f ? ' ' : point);
    } else if (point < 0x800) {
        bytes[count++] = (char)(0xc0 | point >> 6);
        bytes[count++] = (char)(0x80 | (point & 0x3f));
    } else if (point < 0x10000) {
        bytes[count++] = (char)(0xe0 | point >> 12);
        bytes[count++] = (char)(0x80 | (point >> 6 & 0x3f));
        bytes[count++] = (char)(0x80 | (point & 0x3f));
    } else {
        bytes[count++] = (char)(0xf0 | point >> 18);
        bytes[count++] = (char)(0x80 | (point >> 12 & 0x3f));
        bytes[count++] = (char)(0x80 | (point >> 6 & 0x3f));
        bytes[count++] = (char)(0x80 | (point & 0x3f));
    }
    if (sink->used + count < sink->size) {
        memcpy(sink->out + sink->used, bytes, count);
        sink->used += count;
    } else {
        sink->size = sink->used; /* full: nothing shorter behind it either */
    }
}

static void put_characters(struct sink *sink, const struct characters *characters)
{
    for (uint32_t i = 0; i < characters->length && sink->used < sink->size; i++) {
        uint32_t unit = characters->one ? characters->one[i] : characters->two[i];
        bool high = unit >= 0xd800 && unit < 0xdc00;
        if (high && i + 1 < characters->length && characters->two[i + 1] >= 0xdc00 &&
            characters->two[i + 1] < 0xe000)
            unit = 0x10000 + ((unit - 0xd800) << 10) + (characters->two[++i] - 0xdc00u);
        else if (unit >= 0xd800 && unit < 0xe000)
            unit = 0xfffd; /* half a pair */
        put(sink, unit);
    }
}

static void put_string(struct sink *sink, uintptr_t word, int depth)
{
    struct characters characters;
    if (strings_look(word, &characters)) {
        put_characters(sink, &characters);
    } else if (strings_is(word) && (heap_type(word) & FORM) == FORM_CONS && depth > 0) {
        put_string(sink, heap_word(word, layout.string_first), depth - 1);
        put_string(sink, heap_word(word, layout.string_second), depth - 1);
    }
}

size_t strings_copy(uintptr_t word, char *out, size_t size)
{
    struct sink sink = {.out = out, .size = size};
    put_string(&sink, word, DEPTH_MAX);
    out[sink.used] = '\0';
    return sink.used;
}

size_t strings_encode(const struct characters *characters, char *out, size_t size)
{
    struct sink sink = {.out = out, .size = size};
    put_characters(&sink, characters);
    out[sink.used] = '\0';
    return sink.used;
}
