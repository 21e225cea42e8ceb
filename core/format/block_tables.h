/*
 * The tables of a block (block.h) as they stand in the file, read and checked: every id names a
 * row that is there, stacks have no circles and are not longer together than the size of the
 * input allows. What is made of them, block_read.c and block_add.c know.
 *
 * Belongs to one reader; points into the bytes that it was read from, which outlive it.
 */
#ifndef CPROF_FORMAT_BLOCK_TABLES_H
#define CPROF_FORMAT_BLOCK_TABLES_H

#include "format/block.h"
#include "format/columns.h"

struct block_tables {
    struct columns strings, mappings, functions, locations, lines, nodes, stacks, sets, labels;
    struct columns layouts, sheets, columns, heads;
    uint64_t links;
    const unsigned char *link_bytes, *profile_ids;
    /* Found in reading, by id: */
    const char **texts;     /* of a string: its bytes */
    uint32_t *first_lines;  /* of a location: its first row in `lines` */
    uint32_t *first_labels; /* of a label set, likewise */
    size_t depth;           /* of the deepest stack */
    char *error;
};

/* An interval's samples: a table for each sheet, empty where that has no columns. A row is a
 * stack, a link, a label set and the values. */
struct block_interval {
    size_t sheets;
    size_t widths[PROFILE_SHEETS_MAX];
    struct columns samples[PROFILE_SHEETS_MAX];
};

/* Of a block's bytes without the magic ones, of which *from goes on with the samples; `size`
 * bounds the stacks. 0, or a negative errno with a line in `error`; to be freed in any case. */
int block_tables_read(struct block_tables *tables, struct wire_cursor *from, size_t size,
                      char error[FORMAT_ERROR_SIZE]);
void block_tables_free(struct block_tables *tables);

/* Where a layout's sheets and columns begin in their tables. */
struct block_layout {
    size_t sheet, sheets, column;
};
int block_tables_layout(const struct block_tables *tables, uint64_t number,
                        struct block_layout *layout);

/* All sheets of an interval of that layout: of one that is damaged nothing counts. As above. */
int block_interval_read(const struct block_tables *tables, const struct block_layout *layout,
                        struct wire_cursor from, struct block_interval *interval);
void block_interval_free(struct block_interval *interval);

/* An id of a table with that many rows? 0, or -EBADMSG after having said so. */
int block_check_id(const struct block_tables *tables, uint64_t id, size_t rows,
                   const char *what);

/* The next bytes, `count` of `size`, as they lie in the input. */
int block_next_bytes(const struct block_tables *tables, struct wire_cursor *from,
                     uint64_t count, size_t size, const unsigned char **at, const char *what);

/* The row of an id that is not 0. */
static inline const uint64_t *block_row(const struct columns *table, uint64_t id)
{
    return columns_row(table, (size_t)id - 1);
}

#endif
