/*
 * Source lines and inlined functions out of DWARF 2 to 5, read as little at a time as the
 * answer takes: the one compilation unit, line table and strings that an address needs. A
 * library's 20 MiB of debug information costs 1 to 4 MiB while it is asked (see
 * tests/core/symbol/lookup_cost.c), where loading it as a whole would cost 8 to 25.
 *
 * Two things with two lives. A dwarf_index (which unit has which addresses; 24 bytes a range)
 * is built at the first lookup and kept. A struct dwarf belongs to an open file; it holds the
 * units read last, with a list of each one's functions, so that many lookups in a row are
 * cheap: at most DWARF_CACHED_UNITS, and no more than DWARF_CACHED_BYTES beside the one in use.
 * It may keep some while the file is closed, for when it is opened again. Of those it gives up
 * the index keeps the outlines (dwarf_unit.h), DWARF_OUTLINES_BYTES at most: a unit that is
 * loaded once more need not be gone through. Both draw from the budget.
 *
 * Bounds: units above DWARF_MAX_UNIT, line tables above DWARF_MAX_LINES and files with more
 * than DWARF_MAX_UNITS units or DWARF_MAX_RANGES ranges give no lines for what is beyond.
 * Compressed sections, split DWARF (.dwo) and type units are not read. Files are untrusted.
 * Collector only.
 */
#ifndef CPROF_SYMBOL_DWARF_H
#define CPROF_SYMBOL_DWARF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"
#include "symbol/dwarf_unit.h"
#include "symbol/elf.h"
#include "symbol/strings.h"
#include "symbol/symbolizer.h"

#define DWARF_MAX_UNITS (1u << 16)
#define DWARF_MAX_RANGES (1u << 16)
#define DWARF_CACHED_UNITS 32
#define DWARF_CACHED_BYTES (3u << 20)
#define DWARF_OUTLINES_BYTES (1u << 20)

struct dwarf_range {
    uint64_t low, high; /* vaddr: [low, high) */
    uint64_t unit;      /* offset in .debug_info */
};

struct dwarf_index {
    struct budget *budget;
    bool built;
    struct dwarf_range *ranges; /* by low */
    size_t range_count, range_capacity;
    uint64_t *units; /* offsets in .debug_info, ascending */
    size_t unit_count, unit_capacity;
    struct dwarf_outline
        *outlines;        /* beside `units`, of those that are not loaded; NULL: none */
    size_t outline_bytes; /* of all that is in them */
};

void dwarf_index_init(struct dwarf_index *index, struct budget *budget);
void dwarf_index_free(struct dwarf_index *index);

struct dwarf {
    struct dwarf_file file;
    struct dwarf_index *index;
    struct dwarf_unit units[DWARF_CACHED_UNITS];
    uint64_t uses; /* of units: the clock of last_used */
};

/* False when the file has no DWARF that can be read. `elf` must stay open. */
bool dwarf_open(struct dwarf *dwarf, const struct elf *elf, struct dwarf_index *index);
void dwarf_close(struct dwarf *dwarf);

/* The file is about to be closed: keeps of its units those used last, within so many bytes.
 * Returns how many they take. */
size_t dwarf_rest(struct dwarf *dwarf, size_t most);

/* The file is open again. False, and nothing changes, when it is another one than before. */
bool dwarf_resume(struct dwarf *dwarf, const struct elf *elf);

/* Fills lines for a vaddr, innermost inlined function first, the function itself last; at
 * most `capacity`, of which the last is always for the function itself. Returns how many; 0
 * when nothing is known. Names are as DWARF has them: `name` short, `linkage` mangled, each
 * NULL when it is not there; strings are kept in `strings`. */
size_t dwarf_find(struct dwarf *dwarf, uint64_t vaddr, struct strings *strings,
                  struct symbol_line *lines, size_t capacity);

#endif
