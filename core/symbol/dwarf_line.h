/* Line tables: see dwarf.h. */
#ifndef CPROF_SYMBOL_DWARF_LINE_H
#define CPROF_SYMBOL_DWARF_LINE_H

#include "symbol/dwarf_unit.h"

#define DWARF_MAX_LINES (8u << 20) /* bytes of one unit's line table */

struct dwarf_position {
    uint64_t file; /* in the unit's list of files */
    uint64_t line; /* 0 = unknown */
};

/* The position of a vaddr in the unit's line table. 0, or -ENOENT. */
int dwarf_line_find(struct dwarf_unit *unit, uint64_t vaddr, struct dwarf_position *position);

/* The path of a file of the unit's list, with its directory. 0, or -ENOENT. */
int dwarf_line_file(struct dwarf_unit *unit, uint64_t file, char *path, size_t capacity);

#endif
