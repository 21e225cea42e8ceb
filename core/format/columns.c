#include "format/columns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MOST 10 /* bytes of a varint */
#define EIGHT 8
#define STEP 1024 /* cells that room is made for at a time */

static uint64_t zigzag(uint64_t difference)
{
    return difference << 1 ^ (uint64_t) - (int64_t)(difference >> 63);
}

static uint64_t unzigzag(uint64_t number)
{
    return number >> 1 ^ (uint64_t) - (int64_t)(number & 1);
}

int columns_init(struct columns *columns, size_t rows, size_t width)
{
    *columns = (struct columns){.rows = rows, .width = width};
    columns->cells = calloc(rows * width + 1, sizeof(*columns->cells));
    return columns->cells != NULL ? 0 : -ENOMEM;
}

void columns_free(struct columns *columns)
{
    free(columns->cells);
    *columns = (struct columns){0};
}

/* A number that is mostly a byte. */
static unsigned char *put_number(unsigned char *at, uint64_t number)
{
    while (number >= 0x80) {
        *at++ = (unsigned char)(number | 0x80);
        number >>= 7;
    }
    *at++ = (unsigned char)number;
    return at;
}

static void write_column(const struct columns *columns, size_t column, struct buffer *out)
{
    const uint64_t *cell = columns->cells + column;
    uint64_t above = 0;
    for (size_t row = 0; row < columns->rows;) {
        const size_t left = columns->rows - row, part = left < STEP ? left : STEP;
        unsigned char *begin = buffer_extend(out, part * NUMBER_MOST), *at = begin;
        if (begin == NULL)
            return;
        for (size_t end = row + part; row < end; row++, cell += columns->width) {
            at = put_number(at, zigzag(*cell - above));
            above = *cell;
        }
        out->size -= part * NUMBER_MOST - (size_t)(at - begin);
    }
}

void columns_write(const struct columns *columns, struct buffer *out)
{
    wire_number(out, columns->rows);
    for (size_t column = 0; column < columns->width; column++)
        write_column(columns, column, out);
}

/* Eight numbers at once, if each is a byte: most are. */
static inline bool read_eight(const unsigned char *at, uint64_t **cell, size_t width,
                              uint64_t *above)
{
    uint64_t word;
    memcpy(&word, at, EIGHT);
    if ((word & UINT64_C(0x8080808080808080)) != 0)
        return false;
    for (size_t i = 0; i < EIGHT; i++, *cell += width) {
        *above += unzigzag(at[i]);
        **cell = *above;
    }
    return true;
}

static int read_column(const struct columns *columns, size_t column, struct wire_cursor *from)
{
    uint64_t *cell = columns->cells + column, above = 0, difference;
    const size_t width = columns->width;
    struct wire_cursor at = *from;
    for (size_t left = columns->rows; left > 0;) {
        if (left >= EIGHT && at.end - at.at >= EIGHT &&
            read_eight(at.at, &cell, width, &above)) {
            at.at += EIGHT;
            left -= EIGHT;
            continue;
        }
        /* As many again may be longer: no further look at eight for those. */
        for (size_t i = left < EIGHT ? left : EIGHT; i > 0; i--, left--, cell += width) {
            if (!wire_next_number(&at, &difference))
                return -EBADMSG;
            above += unzigzag(difference);
            *cell = above;
        }
    }
    *from = at;
    return 0;
}

int columns_read(struct columns *columns, size_t width, struct wire_cursor *from)
{
    uint64_t rows;
    *columns = (struct columns){0};
    if (!wire_next_number(from, &rows) || rows > (size_t)(from->end - from->at) / width)
        return -EBADMSG;
    *columns = (struct columns){.rows = (size_t)rows, .width = width};
    columns->cells = malloc((columns->rows * width + 1) * sizeof(*columns->cells));
    int status = columns->cells != NULL ? 0 : -ENOMEM;
    for (size_t column = 0; status == 0 && column < width; column++)
        status = read_column(columns, column, from);
    return status;
}
