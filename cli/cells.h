/*
 * Columns of a table with an amount and its share: "400 ms  40.0%". As wide as their widest
 * cell, so that no number is ever cut.
 */
#ifndef CPROF_CLI_CELLS_H
#define CPROF_CLI_CELLS_H

#include <stddef.h>
#include <stdint.h>

#include "terminal.h"

struct cells {
    const char *unit;     /* of the amounts */
    int64_t whole;        /* what shares are of */
    size_t amount, share; /* columns, with the gaps on their left */
};

struct cells cells_of(const char *unit, int64_t whole);
/* Makes the columns as wide as a value needs. */
void cells_measure(struct cells *cells, int64_t value);
void cells_print(const struct cells *cells, const struct terminal *terminal, int64_t value);
/* How wide a cell is. */
size_t cells_width(const struct cells *cells);

#endif
