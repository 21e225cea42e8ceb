/*
 * The string table of an encoding, and the numbers that rows get in it. An encoder numbers
 * rows of a profile in the order in which its samples first need them, so what no sample
 * reaches is not written. Used by one encoder while it runs; the profile must not change.
 */
#ifndef CPROF_FORMAT_NAMES_H
#define CPROF_FORMAT_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profile/profile.h"
#include "profile/table.h"

/* Rows of one table: 1, 2, … in order of first use. Row 0 stays 0. */
struct numbering {
    uint32_t *number; /* by row; 0 = not used yet */
    uint32_t *order;  /* order[n]: the row numbered n */
    uint32_t used;    /* numbers given, 0 included */
};

bool numbering_init(struct numbering *numbering, size_t rows);
void numbering_free(struct numbering *numbering);
uint32_t numbering_of(struct numbering *numbering, uint32_t row);

struct names {
    const struct profile *profile;
    struct memory memory;
    struct arena arena;
    struct table table; /* the strings written, number 0 = "" */
    uint32_t *known;    /* by the profile's string id: the number here; 0 = not yet */
    bool failed;        /* out of memory: numbers given since may be 0 */
};

bool names_init(struct names *names, const struct profile *profile);
void names_free(struct names *names);

/* The number of a string of the profile, of a constant. Text that is not UTF-8 is mended
 * with U+FFFD: protobuf demands it of strings, and receivers check. */
uint32_t names_of(struct names *names, profile_id string);
uint32_t names_text(struct names *names, const char *text);
/* The number of bytes that are no text. */
uint32_t names_bytes(struct names *names, const void *data, size_t size);

static inline size_t names_count(const struct names *names)
{
    return names->table.rows.count;
}

static inline const struct table_string *names_at(const struct names *names, uint32_t number)
{
    return table_at(&names->table, number);
}

#endif
