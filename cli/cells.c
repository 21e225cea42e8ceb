#include "cells.h"

#include <string.h>

#include "units.h"

#define AMOUNT_LEAST 9 /* columns of "12.34 s", "-12.3 ms" with what is left of it */
#define SHARE_LEAST 7  /* of " 100.0%" */

struct cells cells_of(const char *unit, int64_t whole)
{
    return (struct cells){
        .unit = unit, .whole = whole, .amount = AMOUNT_LEAST, .share = SHARE_LEAST};
}

void cells_measure(struct cells *cells, int64_t value)
{
    char amount[UNITS_TEXT], share[UNITS_TEXT];
    units_value(amount, value, cells->unit);
    units_share(share, value, cells->whole);
    size_t columns = terminal_columns(amount, strlen(amount)) + 2;
    cells->amount = columns > cells->amount ? columns : cells->amount;
    columns = terminal_columns(share, strlen(share)) + 1;
    cells->share = columns > cells->share ? columns : cells->share;
}

void cells_print(const struct cells *cells, const struct terminal *terminal, int64_t value)
{
    char amount[UNITS_TEXT], share[UNITS_TEXT];
    const int64_t whole = cells->whole, tenth = whole / 10;
    units_value(amount, value, cells->unit);
    units_share(share, value, whole);
    enum style style = value == 0                                         ? STYLE_DIM
                       : whole > 0 && (value >= tenth || value <= -tenth) ? STYLE_BOLD
                                                                          : STYLE_PLAIN;
    fputs(terminal_style(terminal, style), terminal->file);
    terminal_print_right(terminal, amount, cells->amount);
    terminal_print_right(terminal, share, cells->share);
    fputs(terminal_reset(terminal, style), terminal->file);
}

size_t cells_width(const struct cells *cells)
{
    return cells->amount + cells->share;
}
