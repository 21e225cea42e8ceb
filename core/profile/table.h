/*
 * A table of interned rows: equal content is kept once and named by its row number. Row 0 is
 * the zero value. What a row points to is copied into the arena when the row is new.
 *
 * One implementation serves every table of a profile; a `table_kind` says what a row is. The
 * writers in core/format use it as well, for the strings and attributes of their output.
 */
#ifndef CPROF_PROFILE_TABLE_H
#define CPROF_PROFILE_TABLE_H

#include "profile/memory.h"
#include "profile/profile.h"

struct table_kind {
    size_t row_size;
    uint64_t (*hash)(const void *row);
    bool (*equal)(const void *a, const void *b);
    /* Copies what a new row points to; false: no room. NULL: rows point to nothing. */
    bool (*own)(void *row, struct arena *arena, struct memory *memory);
};

struct table {
    const struct table_kind *kind;
    struct rows rows;
    struct index index;
};

struct table_string {
    const char *text; /* NUL-terminated, may hold NULs before that; NULL in row 0 */
    uint32_t length;
};

/* Which counts a sample is. */
struct table_key {
    profile_id stack, link, labels;
};

extern const struct table_kind table_of_strings;    /* struct table_string */
extern const struct table_kind table_of_mappings;   /* struct profile_mapping */
extern const struct table_kind table_of_functions;  /* struct profile_function */
extern const struct table_kind table_of_locations;  /* struct profile_location */
extern const struct table_kind table_of_stacks;     /* struct profile_stack */
extern const struct table_kind table_of_links;      /* struct profile_link */
extern const struct table_kind table_of_labels;     /* struct profile_label */
extern const struct table_kind table_of_label_sets; /* struct profile_label_set */
extern const struct table_kind table_of_keys;       /* struct table_key */

/* False: no room for row 0. */
bool table_init(struct table *table, const struct table_kind *kind, struct memory *memory);
void table_free(struct table *table, struct memory *memory);

/* The number of the row equal to `row`; 0: it is not there. */
uint32_t table_find(const struct table *table, const void *row);
/* The same, adding it when needed; 0: no room, and nothing has changed. */
uint32_t table_intern(struct table *table, const void *row, struct arena *arena,
                      struct memory *memory);

/* Several look-ups in a row. A large table lies outside the processor's caches, where each
 * would wait for memory on its own; this asks for all of it before the first. hashes[i] becomes
 * the hash of rows[i]. */
void table_fetch(const struct table *table, const void *rows, size_t count, uint32_t *hashes);
/* As table_intern(), of a row with that hash. */
uint32_t table_intern_hashed(struct table *table, const void *row, uint32_t hash,
                             struct arena *arena, struct memory *memory);

/* Row `number`, or row 0 when there is no such row: a wrong id reads as nothing. */
static inline const void *table_at(const struct table *table, uint32_t number)
{
    return rows_at(&table->rows, number < table->rows.count ? number : 0);
}

#endif
