/*
 * A table of a profile for Firefox, in both of its shapes. Processed, it is a map with a list
 * for each column. As Firefox itself writes it (https://github.com/firefox-devtools/profiler,
 * docs-developer/gecko-profile-format.md) it has a list of rows, which are lists of cells, and
 * a schema that says which cell is which column's; what is missing at a row's end is null.
 *
 * A table is opened once and read by row and column; it holds four bytes for each of its rows.
 * Owned by one reader; not locked. The nested data must stay.
 */
#ifndef CPROF_FORMAT_GECKO_TABLE_H
#define CPROF_FORMAT_GECKO_TABLE_H

#include "format/nested.h"

struct gecko_table {
    uint32_t row;    /* of the whole table; 0: there is none */
    uint32_t schema; /* 0: it is processed */
    uint32_t *rows;  /* of the cells' lists, by number; NULL: it is processed */
    uint32_t count;  /* of those */
};

struct gecko_column {
    const struct gecko_table *table;
    uint32_t list; /* of a processed table */
    int64_t place; /* in the rows of the other; -1: it has no such column */
};

/* 0 or -ENOMEM. What was opened before in its place is closed. */
int gecko_table_open(const struct nested *in, uint32_t row, struct gecko_table *table);
void gecko_table_close(struct gecko_table *table);

struct gecko_column gecko_table_column(const struct nested *in, const struct gecko_table *table,
                                       const char *name);
/* How many rows there are, by that column. */
uint32_t gecko_column_count(const struct nested *in, const struct gecko_column *column);
/* The row of the nested data that a cell is; 0: it has none. */
uint32_t gecko_column_cell(const struct nested *in, const struct gecko_column *column,
                           uint64_t index);

#endif
