#include "symbol/dwarf.h"

#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "symbol/dwarf_line.h"

#define INDEX_ENTRIES 1024        /* bytes of a unit that hold its own entry */
#define INDEX_ABBREVS (16u << 10) /* bytes of abbreviations that nearly always hold its */
#define MERGE_GAP 64              /* padding between functions of one unit */
#define MAX_ORIGINS 8             /* steps from an entry to the one that names it */
#define WORK_PER_BYTE 8           /* attributes a byte of entries may keep us busy with */
#define MAX_SCOPES 64             /* functions inlined into each other */
#define TEXT_BYTES 4096

/* The index */

void dwarf_index_init(struct dwarf_index *index, struct budget *budget)
{
    *index = (struct dwarf_index){.budget = budget};
}

void dwarf_index_free(struct dwarf_index *index)
{
    budget_give(index->budget, index->range_capacity * sizeof *index->ranges +
                                   index->unit_capacity * sizeof *index->units);
    free(index->ranges);
    free(index->units);
    dwarf_index_init(index, index->budget);
}

/* An array of elements of `size` bytes with room for one more, or NULL. */
static void *make_room(struct budget *budget, void *array, size_t count, size_t *capacity,
                       size_t size, size_t limit)
{
    if (count < *capacity)
        return array;
    size_t larger = *capacity ? *capacity * 2 : 64;
    if (count >= limit || !budget_take(budget, (larger - *capacity) * size))
        return NULL;
    void *grown = realloc(array, larger * size);
    if (!grown) {
        budget_give(budget, (larger - *capacity) * size);
        return NULL;
    }
    *capacity = larger;
    return grown;
}

static bool add_unit(struct dwarf_index *index, uint64_t offset)
{
    uint64_t *units = make_room(index->budget, index->units, index->unit_count,
                                &index->unit_capacity, sizeof *units, DWARF_MAX_UNITS);
    if (!units)
        return false;
    index->units = units;
    index->units[index->unit_count++] = offset;
    return true;
}

struct range_adder {
    struct dwarf_index *index;
    uint64_t unit;
};

/* Called for each range of a unit; true (stop) when there is no room. */
static bool add_range(void *closure, uint64_t low, uint64_t high)
{
    const struct range_adder *adder = closure;
    struct dwarf_index *index = adder->index;
    if (low >= high || !low)
        return false; /* nothing, or code that the linker threw away */
    struct dwarf_range *ranges =
        make_room(index->budget, index->ranges, index->range_count, &index->range_capacity,
                  sizeof *ranges, DWARF_MAX_RANGES);
    if (!ranges)
        return true;
    index->ranges = ranges;
    ranges[index->range_count++] =
        (struct dwarf_range){.low = low, .high = high, .unit = adder->unit};
    return false;
}

static int by_low(const void *left, const void *right)
{
    const struct dwarf_range *a = left, *b = right;
    return a->low < b->low ? -1 : a->low > b->low;
}

/* Neighbours of one unit become one range. */
static void merge_ranges(struct dwarf_index *index)
{
    size_t kept = 0;
    if (index->range_count)
        qsort(index->ranges, index->range_count, sizeof *index->ranges, by_low);
    for (size_t i = 0; i < index->range_count; i++) {
        struct dwarf_range now = index->ranges[i];
        struct dwarf_range *last = kept ? &index->ranges[kept - 1] : NULL;
        if (last && last->unit == now.unit && now.low <= last->high + MERGE_GAP)
            last->high = now.high > last->high ? now.high : last->high;
        else
            index->ranges[kept++] = now;
    }
    index->range_count = kept;
}

/* Goes through all units, reading of each no more than its own entry. */
static void build_index(struct dwarf *dwarf)
{
    struct dwarf_index *index = dwarf->index;
    struct dwarf_unit unit = {.file = NULL};
    index->built = true;
    for (uint64_t offset = 0; offset < dwarf->file.sections[DWARF_INFO].size;) {
        int error = dwarf_unit_load(&unit, &dwarf->file, offset, INDEX_ENTRIES, INDEX_ABBREVS);
        if (error == -EINVAL && unit.end)
            error =
                dwarf_unit_load(&unit, &dwarf->file, offset, INDEX_ENTRIES, DWARF_MAX_ABBREV);
        uint64_t next = unit.end;
        if (next <= offset || !add_unit(index, offset))
            break;
        struct range_adder adder = {.index = index, .unit = offset};
        if (!error && unit.tag == DW_TAG_compile_unit &&
            dwarf_each_range(&unit, &unit.low, &unit.high, &unit.ranges, add_range, &adder))
            break;
        offset = next;
    }
    dwarf_unit_free(&unit);
    merge_ranges(index);
}

/* The unit of a vaddr; false when none has it. Ranges of different units do not overlap but
 * by mistake, so the last one that begins at or below decides. */
static bool find_unit(const struct dwarf_index *index, uint64_t vaddr, uint64_t *unit)
{
    size_t low = 0, high = index->range_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (index->ranges[middle].low <= vaddr)
            low = middle + 1;
        else
            high = middle;
    }
    if (!low || vaddr >= index->ranges[low - 1].high)
        return false;
    *unit = index->ranges[low - 1].unit;
    return true;
}

/* The unit that has an entry at `offset` of .debug_info. */
static bool find_unit_of_entry(const struct dwarf_index *index, uint64_t offset, uint64_t *unit)
{
    size_t low = 0, high = index->unit_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (index->units[middle] <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    if (!low)
        return false;
    *unit = index->units[low - 1];
    return true;
}

/* Scopes: the chain of functions inlined into each other at an address */

struct scope {
    uint64_t offset; /* of its entry in .debug_info */
    struct dwarf_value origin, call_file, call_line;
};

struct scopes {
    uint64_t vaddr;
    size_t count; /* outermost first */
    struct scope list[MAX_SCOPES];
};

static bool covers(void *closure, uint64_t low, uint64_t high)
{
    const uint64_t *vaddr = closure;
    return *vaddr >= low && *vaddr < high;
}

static bool entry_covers(const struct dwarf_unit *unit, const struct dwarf_entry *entry,
                         uint64_t vaddr)
{
    return dwarf_each_range(unit, &entry->low, &entry->high, &entry->ranges, covers, &vaddr);
}

static bool has_code(const struct dwarf_entry *entry)
{
    return entry->low.class != DWARF_NONE || entry->ranges.class != DWARF_NONE;
}

/* What the walk does with an entry. */
enum step {
    STEP_OVER, /* the entry and all below it */
    STEP_INTO, /* look at what is below it */
    STEP_HOLD, /* it covers the address: nothing outside it matters any more */
};

static enum step judge(const struct dwarf_unit *unit, const struct dwarf_entry *entry,
                       struct scopes *scopes)
{
    switch (entry->tag) {
    case DW_TAG_namespace:
    case DW_TAG_module:
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
    case DW_TAG_enumeration_type:
        return STEP_INTO;
    case DW_TAG_lexical_block:
    case DW_TAG_try_block:
    case DW_TAG_catch_block:
        if (!has_code(entry))
            return STEP_INTO;
        return entry_covers(unit, entry, scopes->vaddr) ? STEP_HOLD : STEP_OVER;
    case DW_TAG_subprogram:
    case DW_TAG_inlined_subroutine:
        if (!has_code(entry) || !entry_covers(unit, entry, scopes->vaddr))
            return STEP_OVER;
        if (entry->tag == DW_TAG_subprogram)
            scopes->count = 0;
        if (scopes->count < MAX_SCOPES)
            scopes->list[scopes->count++] = (struct scope){.offset = entry->offset,
                                                           .origin = entry->origin,
                                                           .call_file = entry->call_file,
                                                           .call_line = entry->call_line};
        return STEP_HOLD;
    default:
        return STEP_OVER;
    }
}

/* Only entries of these kinds are worth reading in full. */
static bool is_interesting(uint32_t tag)
{
    return tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine ||
           tag == DW_TAG_lexical_block || tag == DW_TAG_try_block || tag == DW_TAG_catch_block;
}

/* Reads an entry: skims it, and reads it again if it matters. */
static int read_entry(const struct dwarf_unit *unit, struct bytes *cursor, bool skim,
                      struct dwarf_entry *entry)
{
    struct bytes start = *cursor;
    int work = dwarf_read_entry(unit, cursor, true, entry);
    if (work < 0 || skim || !is_interesting(entry->tag))
        return work;
    *cursor = start;
    int more = dwarf_read_entry(unit, cursor, false, entry);
    return more < 0 ? more : work + more;
}

static void find_scopes(const struct dwarf_unit *unit, struct scopes *scopes)
{
    struct bytes cursor = dwarf_entries_from(unit, unit->offset + unit->header_size);
    uint64_t work = 0, allowed = (unit->loaded - unit->offset) * WORK_PER_BYTE;
    int depth = 0, held = 0, over = 0; /* over: depth of an entry being stepped over; 0 none */
    while (work < allowed) {
        struct dwarf_entry entry;
        int done = read_entry(unit, &cursor, over || !depth, &entry);
        if (done < 0)
            return;
        work += (uint64_t)done;
        if (!entry.tag) {
            depth--;
            if (depth <= held)
                return; /* left what covers the address, or the unit */
            if (depth <= over)
                over = 0;
            continue;
        }
        enum step step = over || !depth ? STEP_INTO : judge(unit, &entry, scopes);
        if (!entry.has_children) {
            if (step == STEP_HOLD && entry.tag == DW_TAG_subprogram)
                return;
            continue;
        }
        if ((step == STEP_OVER || over) && entry.sibling.class == DWARF_REFERENCE &&
            entry.sibling.number > entry.offset && entry.sibling.number < unit->loaded) {
            cursor = dwarf_entries_from(unit, entry.sibling.number);
            continue;
        }
        if (step == STEP_HOLD)
            held = depth;
        if (step == STEP_OVER)
            over = depth;
        depth++;
    }
}

/* Names */

/* Copies a text of DWARF into the kept strings; NULL when there is none. */
static const char *keep_text(const struct dwarf_unit *unit, const struct dwarf_value *value,
                             struct strings *strings)
{
    char text[TEXT_BYTES];
    return dwarf_text(unit, value, text, sizeof text) ? NULL : strings_keep(strings, text);
}

/* The loaded unit that has an entry, loading it as `other` if need be. */
static const struct dwarf_unit *unit_with(struct dwarf *dwarf, uint64_t entry)
{
    uint64_t offset;
    if (entry >= dwarf->unit.offset && entry < dwarf->unit.loaded)
        return &dwarf->unit;
    if (entry >= dwarf->other.offset && entry < dwarf->other.loaded)
        return &dwarf->other;
    if (!find_unit_of_entry(dwarf->index, entry, &offset) ||
        dwarf_unit_load(&dwarf->other, &dwarf->file, offset, DWARF_MAX_UNIT, DWARF_MAX_ABBREV))
        return NULL;
    return &dwarf->other;
}

/* Gathers what an entry and those it refers to say of a function. */
static void describe(struct dwarf *dwarf, uint64_t offset, struct strings *strings,
                     struct symbol_line *line)
{
    for (int i = 0; i < MAX_ORIGINS; i++) {
        const struct dwarf_unit *unit = unit_with(dwarf, offset);
        struct dwarf_entry entry;
        if (!unit)
            return;
        struct bytes cursor = dwarf_entries_from(unit, offset);
        if (dwarf_read_entry(unit, &cursor, false, &entry) < 0)
            return;
        if (!line->name)
            line->name = keep_text(unit, &entry.name, strings);
        if (!line->linkage)
            line->linkage = keep_text(unit, &entry.linkage, strings);
        if (!line->start_line && entry.decl_line.class == DWARF_CONSTANT)
            line->start_line = (int64_t)entry.decl_line.number;
        if (entry.origin.class != DWARF_REFERENCE)
            return;
        offset = entry.origin.number;
    }
}

static void place(struct dwarf *dwarf, const struct dwarf_position *position,
                  struct strings *strings, struct symbol_line *line)
{
    char path[TEXT_BYTES];
    if (dwarf_line_file(&dwarf->unit, position->file, path, sizeof path))
        return;
    line->file = strings_keep(strings, path);
    line->line = (int64_t)position->line;
}

bool dwarf_open(struct dwarf *dwarf, const struct elf *elf, struct dwarf_index *index)
{
    *dwarf = (struct dwarf){.index = index};
    return dwarf_file_open(&dwarf->file, elf, index->budget);
}

void dwarf_close(struct dwarf *dwarf)
{
    dwarf_unit_free(&dwarf->unit);
    dwarf_unit_free(&dwarf->other);
}

/* Makes the unit of an address the loaded one. */
static int load_unit(struct dwarf *dwarf, uint64_t vaddr)
{
    uint64_t offset;
    if (!dwarf->index->built)
        build_index(dwarf);
    if (!find_unit(dwarf->index, vaddr, &offset))
        return -ENOENT;
    if (dwarf->unit.loaded && dwarf->unit.offset == offset)
        return 0;
    int error =
        dwarf_unit_load(&dwarf->unit, &dwarf->file, offset, DWARF_MAX_UNIT, DWARF_MAX_ABBREV);
    return error;
}

size_t dwarf_find(struct dwarf *dwarf, uint64_t vaddr, struct strings *strings,
                  struct symbol_line *lines, size_t capacity)
{
    struct scopes scopes = {.vaddr = vaddr};
    struct dwarf_position position;
    if (load_unit(dwarf, vaddr))
        return 0;
    bool has_position = !dwarf_line_find(&dwarf->unit, vaddr, &position);
    find_scopes(&dwarf->unit, &scopes);
    if (!scopes.count) {
        lines[0] = (struct symbol_line){.name = NULL};
        if (has_position)
            place(dwarf, &position, strings, &lines[0]);
        return has_position;
    }
    size_t count = 0;
    for (size_t i = scopes.count; i-- > 0;) {
        const struct scope *scope = &scopes.list[i];
        /* When there are too many, those next to the function itself are left out. */
        if (count + 1 < capacity || !i) {
            struct symbol_line *line = &lines[count++];
            *line = (struct symbol_line){.name = NULL};
            describe(dwarf, scope->offset, strings, line);
            if (has_position)
                place(dwarf, &position, strings, line);
        }
        has_position = scope->call_line.class == DWARF_CONSTANT;
        position = (struct dwarf_position){.file = scope->call_file.number,
                                           .line = scope->call_line.number};
    }
    return count;
}
