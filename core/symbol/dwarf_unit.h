/*
 * The inside of DWARF: sections, units, abbreviations, attribute values, range lists. For
 * dwarf.c and dwarf_line.c; see dwarf.h.
 */
#ifndef CPROF_SYMBOL_DWARF_UNIT_H
#define CPROF_SYMBOL_DWARF_UNIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"
#include "symbol/bytes.h"
#include "symbol/elf.h"

#define DWARF_MAX_UNIT (8u << 20)     /* bytes of one unit's entries */
#define DWARF_MAX_ABBREV (256u << 10) /* bytes of one unit's abbreviations */

enum dwarf_section_id {
    DWARF_INFO,
    DWARF_ABBREV,
    DWARF_LINE,
    DWARF_STR,
    DWARF_LINE_STR,
    DWARF_STR_OFFSETS,
    DWARF_ADDR,
    DWARF_RANGES,
    DWARF_RNGLISTS,
    DWARF_SECTIONS,
};

struct dwarf_file {
    const struct elf *elf;
    struct budget *budget;
    struct {
        uint64_t offset, size; /* in the file; size 0 = not there */
    } sections[DWARF_SECTIONS];
};

/* False when there is no .debug_info with .debug_abbrev that can be read. */
bool dwarf_file_open(struct dwarf_file *file, const struct elf *elf, struct budget *budget);

/* Bytes of a section from `offset` on, as many as there are up to `size`; 0 when none. */
size_t dwarf_read(const struct dwarf_file *file, enum dwarf_section_id section, uint64_t offset,
                  void *buffer, size_t size);

/* How numbers are written: a unit has one, and its line table its own. */
struct dwarf_format {
    uint16_t version;
    uint8_t address_size, offset_size;
};

enum dwarf_class {
    DWARF_NONE,
    DWARF_CONSTANT,       /* number */
    DWARF_ADDRESS,        /* number */
    DWARF_ADDRESS_INDEX,  /* number, into .debug_addr */
    DWARF_OFFSET,         /* number, into the section that the attribute implies */
    DWARF_LIST_INDEX,     /* number, into the offsets of .debug_rnglists */
    DWARF_REFERENCE,      /* number, into .debug_info */
    DWARF_UNIT_REFERENCE, /* number, from the unit's start; only inside dwarf_read_entry */
    DWARF_INLINE_STRING,  /* string */
    DWARF_STRING_OFFSET,  /* number, into `section` */
    DWARF_STRING_INDEX,   /* number, into .debug_str_offsets */
    DWARF_OTHER,          /* skipped over */
};

struct dwarf_value {
    enum dwarf_class class;
    enum dwarf_section_id section;
    uint64_t number;
    const char *string;
};

struct dwarf_attribute {
    uint16_t name, form;
    int8_t size;      /* of its values, or -1 where that is not always the same */
    int64_t implicit; /* the value of DW_FORM_implicit_const */
};

struct dwarf_abbrev {
    uint64_t code;
    uint32_t first, count; /* of its attributes */
    uint32_t tag;
    uint32_t
        fixed_size; /* bytes of its values where every form has a fixed size, or NOT_FIXED */
    bool has_children;
    bool has_sibling;
};

#define DWARF_NOT_FIXED UINT32_MAX

/* A function with code of its own; one with several ranges is there once for each. */
struct dwarf_function {
    uint64_t low, high; /* vaddr */
    uint64_t entry;     /* offset in .debug_info */
};

/* A stretch of a line program that can be run on its own: it begins after a row. */
struct dwarf_stretch {
    uint64_t low, high;  /* vaddrs it has rows for */
    uint64_t file, line; /* of the row at `low` */
    size_t at;           /* of the instruction after that row, in line_data */
};

/* What is found out by going through all of a unit: where its functions and stretches are, both
 * by `low`. It is small beside the unit, and stays good when that is loaded again. */
struct dwarf_outline {
    struct dwarf_function *functions;
    size_t function_count, function_capacity;
    struct dwarf_stretch *stretches;
    size_t stretch_count, stretch_capacity;
    bool functions_found, stretches_found;
};

size_t dwarf_outline_size(const struct dwarf_outline *outline);
void dwarf_outline_free(struct dwarf_outline *outline, struct budget *budget);

struct dwarf_unit {
    const struct dwarf_file *file;
    uint64_t offset, end; /* in .debug_info, its header included; end 0: nothing loaded */
    uint64_t loaded;      /* up to where its bytes are in memory */
    size_t header_size;
    size_t taken; /* from the budget */
    struct dwarf_format format;
    uint8_t type; /* DW_UT_*; DW_UT_compile before DWARF 5 */
    uint8_t *data;
    struct dwarf_abbrev *abbrevs; /* by code */
    struct dwarf_attribute *attributes;
    size_t abbrev_count;
    /* Of the unit's own entry: */
    uint32_t tag;
    struct dwarf_value directory, low, high, ranges, lines;
    uint64_t low_pc, string_base, address_base, list_base;
    struct dwarf_outline outline; /* once an address was asked for (dwarf.c, dwarf_line.c) */
    /* Its line table, once it was asked for (dwarf_line.c): */
    uint8_t *line_data;
    size_t line_size;
    uint8_t line_offset_size;
    bool line_tried;
    uint64_t last_used; /* for whoever keeps several units */
};

/* What an entry says, of what matters here. */
struct dwarf_entry {
    uint64_t offset; /* in .debug_info */
    uint32_t tag;    /* 0: the end of a list of siblings */
    bool has_children;
    struct dwarf_value name, linkage, origin, low, high, ranges, sibling, decl_line, call_file,
        call_line, directory, lines, string_base, address_base, list_base;
};

/* Loads a unit; if not as a whole, what its own entry says, and nothing of the others. 0 or
 * -errno; unit->end is set even then if only the header could be read. What was loaded
 * before is freed. */
int dwarf_unit_load(struct dwarf_unit *unit, const struct dwarf_file *file, uint64_t offset,
                    bool whole);
void dwarf_unit_free(struct dwarf_unit *unit);

/* The memory that a unit holds. */
size_t dwarf_unit_size(const struct dwarf_unit *unit);

/* An array with room for one more element of `size` bytes, at most `limit`; NULL when there is
 * no memory for it. The caller gives capacity * size back to the budget when it frees it. */
void *dwarf_make_room(struct budget *budget, void *array, size_t count, size_t *capacity,
                      size_t size, size_t limit);

/* A cursor over the entries from an offset in .debug_info to the end of the unit. */
struct bytes dwarf_entries_from(const struct dwarf_unit *unit, uint64_t offset);

/* Reads the entry at the cursor; with `skim` only what is needed to go on is set: offset, tag,
 * has_children, sibling. Returns how many attributes were looked at (the work done), or
 * -EINVAL. */
int dwarf_read_entry(const struct dwarf_unit *unit, struct bytes *cursor, bool skim,
                     struct dwarf_entry *entry);

/* One value of a form, e.g. in a line table's header. */
void dwarf_read_form(const struct dwarf_format *format, struct bytes *cursor, uint64_t form,
                     int64_t implicit, struct dwarf_value *value);

/* A value's text. 0, or -ENOENT. */
int dwarf_text(const struct dwarf_unit *unit, const struct dwarf_value *value, char *text,
               size_t capacity);

/* A value's address. 0, or -ENOENT. */
int dwarf_address(const struct dwarf_unit *unit, const struct dwarf_value *value,
                  uint64_t *address);

/* Calls visit for every range of code, until it returns true. Returns whether it did. */
bool dwarf_each_range(const struct dwarf_unit *unit, const struct dwarf_value *low,
                      const struct dwarf_value *high, const struct dwarf_value *ranges,
                      bool (*visit)(void *closure, uint64_t low, uint64_t high), void *closure);

#endif
