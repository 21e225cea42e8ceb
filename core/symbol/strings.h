/*
 * The strings that belong to one module: each kept once, all freed together. Collector only.
 * Memory is drawn from the budget; when it is spent strings_keep() returns NULL and what was
 * kept stays.
 */
#ifndef CPROF_SYMBOL_STRINGS_H
#define CPROF_SYMBOL_STRINGS_H

#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"

#define STRINGS_LONGEST 4096 /* bytes with the NUL; what is longer is cut */

struct strings_chunk;

struct strings {
    struct budget *budget;
    struct strings_chunk *chunks; /* newest first; the newest has the room */
    const char **slots;           /* open addressing; NULL = free */
    size_t capacity, count;       /* of slots: zero or a power of two, at most 3/4 full */
};

void strings_init(struct strings *strings, struct budget *budget);
void strings_free(struct strings *strings);

/* The kept copy of a string, NULL when there is no memory for it. The copy is UTF-8 without
 * control characters, as formats demand: what is not becomes '?', byte by byte. */
const char *strings_keep(struct strings *strings, const char *string);

#endif
