/*
 * The sheets of a profile: each has the samples of one source, with that source's value
 * columns and period. They share the strings, stacks, links and label sets of their profile.
 *
 * Columns are numbered through all sheets, in the order in which they were added, whatever
 * their sheet: one number says which sheet, and which place in it. There is always sheet 0,
 * which begins without columns and lies within struct sheets: a profile of one source pays
 * for no others.
 *
 * Owned by one profile, whose memory they draw; not locked. Where that is spent nothing has
 * changed, and the caller counts the sample with sheet_overflow(), which always has room.
 */
#ifndef CPROF_PROFILE_SHEET_H
#define CPROF_PROFILE_SHEET_H

#include <string.h>

#include "profile/clamp.h"
#include "profile/table.h"

struct sheet {
    struct profile_period period;
    size_t width;       /* its columns */
    struct table keys;  /* one row a sample, after row 0 */
    struct rows values; /* `width` numbers a row; row i belongs to key i + 1 */
    int64_t overflow[PROFILE_MAX_VALUES]; /* the sample "[overflow]", kept apart: no table */
    bool overflowed;                      /* it exists: reads as the last sample of the sheet */
};

struct sheet_column {
    struct profile_value_type type;
    uint16_t sheet, place;
};

struct sheets {
    struct sheet first, *more; /* sheet 0, and those after it */
    uint32_t count, columns;
    struct sheet_column column[PROFILE_MAX_VALUES];
};

/* False: no room. To be freed in any case. */
bool sheets_init(struct sheets *sheets, struct memory *memory);
void sheets_free(struct sheets *sheets, struct memory *memory);

static inline struct sheet *sheets_at(const struct sheets *sheets, size_t sheet)
{
    return sheet == 0 ? (struct sheet *)&sheets->first : &sheets->more[sheet - 1];
}

/* One more sheet, one more column of a sheet; samples so far get 0 in it. Pointers to sheets
 * end here. 0, -ENOMEM or -ENOSPC; of a column -EEXIST where any sheet has it. */
int sheets_add(struct sheets *sheets, struct memory *memory);
int sheets_add_column(struct sheets *sheets, size_t sheet, struct profile_value_type type,
                      struct memory *memory);

/* Its samples go; false: no memory for an empty table, and nothing has changed. */
bool sheet_clear(struct sheet *sheet, struct memory *memory);

/* Multiplies what samples have in a column. */
void sheets_rescale(struct sheets *sheets, size_t column, int64_t factor);

static inline void sheet_sum(const struct sheet *sheet, int64_t *to, const int64_t *values)
{
    for (size_t i = 0; i < sheet->width; i++)
        to[i] = clamp_add(to[i], values[i]);
}

/* Adds to the sample of that key, whose hash is known, making it if needed. False: no room. The
 * way of every sample, and so inline. */
static inline bool sheet_add(struct sheet *sheet, const struct table_key *key, uint32_t hash,
                             const int64_t *values, struct arena *arena, struct memory *memory)
{
    struct rows *rows = &sheet->values;
    if (rows->count == rows->capacity && !rows_reserve(rows, memory))
        return false;
    uint32_t number = table_intern_hashed(&sheet->keys, key, hash, arena, memory);
    if (number == 0)
        return false;
    if (number > rows->count)
        memset(rows_at(rows, rows->count++), 0, rows->row_size);
    sheet_sum(sheet, rows_at(rows, number - 1), values);
    return true;
}

static inline void sheet_overflow(struct sheet *sheet, const int64_t *values)
{
    sheet_sum(sheet, sheet->overflow, values);
    sheet->overflowed = true;
}

/* What of a row of values, one for each column of the profile, belongs to a sheet. Returns
 * whether any of it is not 0. */
bool sheets_take(const struct sheets *sheets, size_t sheet, const int64_t *row,
                 int64_t values[PROFILE_MAX_VALUES]);

/* Samples, "[overflow]" included. */
static inline size_t sheet_count(const struct sheet *sheet)
{
    return (size_t)sheet->values.count + (sheet->overflowed ? 1 : 0);
}

size_t sheets_sample_count(const struct sheets *sheets);

/* The sheet that sample `*index` of all is in; `*index` becomes its number there. */
size_t sheets_find(const struct sheets *sheets, size_t *index);

#endif
