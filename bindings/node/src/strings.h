/*
 * Strings of V8's heap as they are needed here: copied as UTF-8, bounded; and looked at in
 * place. Only on the isolate's own thread, between collections; or of a sleeper's heap, where
 * "in place" is in a copy (heap_view.h).
 */
#ifndef CPROF_NODE_STRINGS_H
#define CPROF_NODE_STRINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The characters of a string that lies in one piece: one or two bytes each. */
struct characters {
    const uint8_t *one;
    const uint16_t *two; /* if `one` is NULL */
    uint32_t length;
};

bool strings_is(uintptr_t word);
/* False for a string in several pieces, and for what is no string. */
bool strings_look(uintptr_t word, struct characters *characters);
/* Writes at most size - 1 bytes and a zero; returns how many. */
size_t strings_copy(uintptr_t word, char *out, size_t size);
size_t strings_encode(const struct characters *characters, char *out, size_t size);

#endif
