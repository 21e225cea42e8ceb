/*
 * The right side of a table: the names of its rows and the places beside them, as wide as they
 * need and the terminal allows.
 */
#ifndef CPROF_CLI_LAYOUT_H
#define CPROF_CLI_LAYOUT_H

#include "report.h"
#include "terminal.h"

struct layout {
    size_t name, place;    /* columns */
    enum terminal_cut cut; /* the end that a name loses; where that is the last, one of which
                              the end tells more (a package in front of it) loses the first */
    bool grey;             /* rows show without the colours of their types */
};

/* Makes room for a row. */
void layout_add(struct layout *layout, const struct report_row *row);
/* Makes do with what `fixed` columns on the left leave of the terminal. */
void layout_fit(struct layout *layout, const struct terminal *terminal, size_t fixed);
void layout_print(const struct layout *layout, const struct report_row *row,
                  const struct terminal *terminal);

#endif
