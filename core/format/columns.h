/*
 * A table of whole numbers as bytes: one column after the other, each number as its difference
 * from the one above it, zigzag and as a varint. Ids that grow, times and counts of one size
 * become small numbers beside small numbers, which deflate packs well.
 *
 * In memory the cells lie row by row. Owned by one writer or reader; not locked.
 */
#ifndef CPROF_FORMAT_COLUMNS_H
#define CPROF_FORMAT_COLUMNS_H

#include <stddef.h>
#include <stdint.h>

#include "format/format.h"
#include "format/wire.h"

struct columns {
    uint64_t *cells;
    size_t rows, width;
};

/* All zero. 0 or -ENOMEM. */
int columns_init(struct columns *columns, size_t rows, size_t width);
void columns_free(struct columns *columns);

static inline uint64_t *columns_row(const struct columns *columns, size_t row)
{
    return columns->cells + row * columns->width;
}

/* Appends the number of rows and the cells; the width is for the reader to know. */
void columns_write(const struct columns *columns, struct buffer *out);

/* What columns_write() wrote, from bytes that nobody vouches for: they hold at least a byte a
 * cell, or it is refused. 0, -ENOMEM, or -EBADMSG; the table is the caller's to free. */
int columns_read(struct columns *columns, size_t width, struct wire_cursor *from);

#endif
