#include "format/columns.h"

#include <errno.h>
#include <stdlib.h>

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

void columns_write(const struct columns *columns, struct buffer *out)
{
    wire_number(out, columns->rows);
    for (size_t column = 0; column < columns->width; column++) {
        uint64_t above = 0;
        for (size_t row = 0; row < columns->rows; row++) {
            uint64_t cell = columns_row(columns, row)[column];
            wire_number(out, zigzag(cell - above));
            above = cell;
        }
    }
}

static int read_cells(const struct columns *columns, struct wire_cursor *from)
{
    for (size_t column = 0; column < columns->width; column++) {
        uint64_t above = 0, difference;
        for (size_t row = 0; row < columns->rows; row++) {
            if (!wire_next_number(from, &difference))
                return -EBADMSG;
            above += unzigzag(difference);
            columns_row(columns, row)[column] = above;
        }
    }
    return 0;
}

int columns_read(struct columns *columns, size_t width, struct wire_cursor *from)
{
    uint64_t rows;
    *columns = (struct columns){0};
    if (!wire_next_number(from, &rows) || rows > (size_t)(from->end - from->at) / width)
        return -EBADMSG;
    int status = columns_init(columns, (size_t)rows, width);
    return status != 0 ? status : read_cells(columns, from);
}
