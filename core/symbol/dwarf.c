#include "symbol/dwarf.h"

#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "symbol/dwarf_line.h"

#define MERGE_GAP 64    /* padding between functions of one unit */
#define MAX_ORIGINS 8   /* steps from an entry to the one that names it */
#define WORK_PER_BYTE 8 /* attributes a byte of entries may keep us busy with */
#define MAX_FUNCTIONS (1u << 17)
#define MAX_SCOPES 64 /* functions inlined into each other */
#define TEXT_BYTES 4096

/* The index */

void dwarf_index_init(struct dwarf_index *index, struct budget *budget)
{
    *index = (struct dwarf_index){.budget = budget};
}

static size_t outlines_size(const struct dwarf_index *index)
{
    return index->unit_count * sizeof *index->outlines;
}

static void free_outlines(struct dwarf_index *index)
{
    if (!index->outlines)
        return;
    for (size_t i = 0; i < index->unit_count; i++)
        dwarf_outline_free(&index->outlines[i], index->budget);
    budget_give(index->budget, outlines_size(index));
    free(index->outlines);
}

void dwarf_index_free(struct dwarf_index *index)
{
    free_outlines(index);
    budget_give(index->budget, index->range_capacity * sizeof *index->ranges +
                                   index->unit_capacity * sizeof *index->units);
    free(index->ranges);
    free(index->units);
    dwarf_index_init(index, index->budget);
}

static bool add_unit(struct dwarf_index *index, uint64_t offset)
{
    uint64_t *units = dwarf_make_room(index->budget, index->units, index->unit_count,
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
        dwarf_make_room(index->budget, index->ranges, index->range_count,
                        &index->range_capacity, sizeof *ranges, DWARF_MAX_RANGES);
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
        int error = dwarf_unit_load(&unit, &dwarf->file, offset, false);
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

/* The number of the unit that has an entry at `offset` of .debug_info. */
static bool find_unit_of_entry(const struct dwarf_index *index, uint64_t offset, size_t *number)
{
    size_t low = 0, high = index->unit_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (index->units[middle] <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    *number = low - 1;
    return low != 0;
}

/* The outlines of units that are not loaded */

static bool has_room_for_outline(struct dwarf_index *index, size_t size)
{
    size_t all = outlines_size(index);
    if (index->outline_bytes + size + all > DWARF_OUTLINES_BYTES)
        return false;
    if (!index->outlines && budget_take(index->budget, all)) {
        index->outlines = calloc(index->unit_count, sizeof *index->outlines);
        if (!index->outlines)
            budget_give(index->budget, all);
    }
    return index->outlines != NULL;
}

/* Frees a unit, but for its outline where there is room for that. */
static void give_up(struct dwarf *dwarf, struct dwarf_unit *unit)
{
    struct dwarf_index *index = dwarf->index;
    size_t size = dwarf_outline_size(&unit->outline), number;
    if (unit->loaded && size && find_unit_of_entry(index, unit->offset, &number) &&
        has_room_for_outline(index, size)) {
        index->outlines[number] = unit->outline;
        index->outline_bytes += size;
        unit->outline = (struct dwarf_outline){.functions = NULL};
    }
    dwarf_unit_free(unit);
}

static void take_outline(struct dwarf_index *index, struct dwarf_unit *unit)
{
    size_t number;
    if (!index->outlines || !find_unit_of_entry(index, unit->offset, &number))
        return;
    unit->outline = index->outlines[number];
    index->outlines[number] = (struct dwarf_outline){.functions = NULL};
    index->outline_bytes -= dwarf_outline_size(&unit->outline);
}

/* Walking over entries */

/* A walk over an entry and all below it. */
struct walk {
    const struct dwarf_unit *unit;
    struct bytes cursor;
    uint64_t work;    /* attributes that may still be looked at */
    unsigned depth;   /* lists of children that are open */
    unsigned level;   /* of the entry read last; 0 is the first one */
    unsigned skipped; /* lists from this depth on are passed over; 0: none */
};

static struct walk walk_from(const struct dwarf_unit *unit, uint64_t entry)
{
    return (struct walk){.unit = unit,
                         .cursor = dwarf_entries_from(unit, entry),
                         .work = (unit->loaded - unit->offset) * WORK_PER_BYTE};
}

/* Only entries of these kinds are worth reading in full. */
static bool is_interesting(uint32_t tag)
{
    return tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine ||
           tag == DW_TAG_lexical_block || tag == DW_TAG_try_block || tag == DW_TAG_catch_block;
}

/* Reads an entry: skims it, and reads it again if it matters. */
static bool read_entry(struct walk *walk, struct dwarf_entry *entry)
{
    struct bytes start = walk->cursor;
    int work = dwarf_read_entry(walk->unit, &walk->cursor, true, entry);
    if (work > 0 && !walk->skipped && is_interesting(entry->tag)) {
        walk->cursor = start;
        work = dwarf_read_entry(walk->unit, &walk->cursor, false, entry);
    }
    if (work < 0 || (uint64_t)work > walk->work)
        return false;
    walk->work -= (uint64_t)work;
    return true;
}

/* Passes over what is below the entry read last. */
static void walk_skip(struct walk *walk, const struct dwarf_entry *entry)
{
    uint64_t here = walk->unit->offset + (uint64_t)(walk->cursor.at - walk->unit->data);
    if (!entry->has_children)
        return;
    if (entry->sibling.class == DWARF_REFERENCE && entry->sibling.number >= here &&
        entry->sibling.number < walk->unit->loaded) {
        walk->cursor = dwarf_entries_from(walk->unit, entry->sibling.number);
        walk->depth--;
    } else if (!walk->skipped) {
        walk->skipped = walk->depth;
    }
}

/* The next entry that is not passed over. False at the end. */
static bool walk_next(struct walk *walk, struct dwarf_entry *entry)
{
    while (read_entry(walk, entry)) {
        if (!entry->tag) {
            if (walk->depth <= 1)
                return false;
            walk->depth--;
            if (walk->depth < walk->skipped)
                walk->skipped = 0;
            continue;
        }
        walk->level = walk->depth;
        if (entry->has_children)
            walk->depth++;
        if (!walk->depth)
            walk->work = 0; /* the first entry has nothing below it */
        if (!walk->skipped)
            return true;
        walk_skip(walk, entry);
    }
    return false;
}

static bool has_code(const struct dwarf_entry *entry)
{
    return entry->low.class != DWARF_NONE || entry->ranges.class != DWARF_NONE;
}

/* Functions: where each one's entry is, found in one walk over the unit */

struct function_adder {
    struct dwarf_unit *unit;
    uint64_t entry;
};

static bool add_function(void *closure, uint64_t low, uint64_t high)
{
    const struct function_adder *adder = closure;
    struct dwarf_unit *unit = adder->unit;
    struct dwarf_outline *outline = &unit->outline;
    if (low >= high)
        return false;
    struct dwarf_function *functions =
        dwarf_make_room(unit->file->budget, outline->functions, outline->function_count,
                        &outline->function_capacity, sizeof *functions, MAX_FUNCTIONS);
    if (!functions)
        return true;
    outline->functions = functions;
    functions[outline->function_count++] =
        (struct dwarf_function){.low = low, .high = high, .entry = adder->entry};
    return false;
}

static int by_function_low(const void *left, const void *right)
{
    const struct dwarf_function *a = left, *b = right;
    return a->low < b->low ? -1 : a->low > b->low;
}

/* Whether functions are defined below an entry. */
static bool holds_functions(uint32_t tag)
{
    switch (tag) {
    case DW_TAG_compile_unit:
    case DW_TAG_namespace:
    case DW_TAG_module:
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
    case DW_TAG_enumeration_type:
        return true;
    default:
        return false;
    }
}

static void find_functions(struct dwarf_unit *unit)
{
    struct walk walk = walk_from(unit, unit->offset + unit->header_size);
    struct dwarf_entry entry;
    unit->outline.functions_found = true;
    while (walk_next(&walk, &entry)) {
        struct function_adder adder = {.unit = unit, .entry = entry.offset};
        if (entry.tag == DW_TAG_subprogram && has_code(&entry) &&
            dwarf_each_range(unit, &entry.low, &entry.high, &entry.ranges, add_function,
                             &adder))
            break;
        if (!holds_functions(entry.tag))
            walk_skip(&walk, &entry);
    }
    if (unit->outline.function_count)
        qsort(unit->outline.functions, unit->outline.function_count,
              sizeof *unit->outline.functions, by_function_low);
}

static const struct dwarf_function *find_function(struct dwarf_unit *unit, uint64_t vaddr)
{
    const struct dwarf_outline *outline = &unit->outline;
    if (!outline->functions_found)
        find_functions(unit);
    size_t low = 0, high = outline->function_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (outline->functions[middle].low <= vaddr)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low && vaddr < outline->functions[low - 1].high;
    return found ? &outline->functions[low - 1] : NULL;
}

/* Scopes: the chain of functions inlined into each other at an address */

struct scope {
    uint64_t offset; /* of its entry in .debug_info */
    struct dwarf_value call_file, call_line;
};

struct scopes {
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

/* Whether an entry of a walk over a function leads to the address. A block that names no
 * addresses may still hold functions that do. */
static bool is_on_the_way(const struct walk *walk, const struct dwarf_entry *entry,
                          uint64_t vaddr)
{
    if (!walk->level)
        return true; /* the function itself */
    if (!is_interesting(entry->tag) || entry->tag == DW_TAG_subprogram)
        return false;
    if (!has_code(entry))
        return entry->tag != DW_TAG_inlined_subroutine;
    return entry_covers(walk->unit, entry, vaddr);
}

static void find_scopes(const struct dwarf_unit *unit, const struct dwarf_function *function,
                        uint64_t vaddr, struct scopes *scopes)
{
    struct walk walk = walk_from(unit, function->entry);
    struct dwarf_entry entry;
    unsigned held = 0; /* level of the innermost entry that covers the address */
    while (walk_next(&walk, &entry)) {
        if (walk.level && walk.level <= held)
            return; /* out of it again */
        if (!is_on_the_way(&walk, &entry, vaddr)) {
            walk_skip(&walk, &entry);
            continue;
        }
        if (has_code(&entry))
            held = walk.level;
        bool is_function = !walk.level || entry.tag == DW_TAG_inlined_subroutine;
        if (is_function && scopes->count < MAX_SCOPES)
            scopes->list[scopes->count++] = (struct scope){.offset = entry.offset,
                                                           .call_file = entry.call_file,
                                                           .call_line = entry.call_line};
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

/* Units that are kept */

struct held_units {
    struct dwarf_unit *oldest, *unused; /* one of each, or NULL */
    size_t bytes;
};

/* `except` is not taken for the oldest. */
static struct held_units look_at_units(struct dwarf *dwarf, const struct dwarf_unit *except)
{
    struct held_units held = {.bytes = 0};
    for (size_t i = 0; i < DWARF_CACHED_UNITS; i++) {
        struct dwarf_unit *unit = &dwarf->units[i];
        held.bytes += dwarf_unit_size(unit);
        if (!unit->loaded)
            held.unused = unit;
        else if (unit != except && (!held.oldest || unit->last_used < held.oldest->last_used))
            held.oldest = unit;
    }
    return held;
}

/* Frees the units used longest ago, until those left are within their bound. Not `except`,
 * which is in use. Returns a free slot. */
static struct dwarf_unit *evict(struct dwarf *dwarf, const struct dwarf_unit *except)
{
    for (;;) {
        struct held_units held = look_at_units(dwarf, except);
        if (held.unused && (held.bytes <= DWARF_CACHED_BYTES || !held.oldest))
            return held.unused;
        give_up(dwarf, held.oldest);
    }
}

/* The unit that begins at `offset`, loaded; NULL when that can't be. `except` stays. */
static struct dwarf_unit *get_unit(struct dwarf *dwarf, uint64_t offset,
                                   const struct dwarf_unit *except)
{
    struct dwarf_unit *unit = NULL;
    for (size_t i = 0; i < DWARF_CACHED_UNITS && !unit; i++) {
        if (dwarf->units[i].loaded && dwarf->units[i].offset == offset)
            unit = &dwarf->units[i];
    }
    if (!unit) {
        unit = evict(dwarf, except);
        if (dwarf_unit_load(unit, &dwarf->file, offset, true))
            return NULL;
        take_outline(dwarf->index, unit);
    }
    unit->last_used = ++dwarf->uses;
    return unit;
}

/* The unit that has an entry: `unit` itself, or another one that is loaded for it. */
static struct dwarf_unit *unit_with(struct dwarf *dwarf, struct dwarf_unit *unit,
                                    uint64_t entry)
{
    size_t number;
    if (entry >= unit->offset && entry < unit->loaded)
        return unit;
    return find_unit_of_entry(dwarf->index, entry, &number)
               ? get_unit(dwarf, dwarf->index->units[number], unit)
               : NULL;
}

/* Gathers what an entry and those it refers to say of a function. */
static void describe(struct dwarf *dwarf, struct dwarf_unit *home, uint64_t offset,
                     struct strings *strings, struct symbol_line *line)
{
    for (int i = 0; i < MAX_ORIGINS; i++) {
        const struct dwarf_unit *unit = unit_with(dwarf, home, offset);
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

static void place(struct dwarf_unit *unit, const struct dwarf_position *position,
                  struct strings *strings, struct symbol_line *line)
{
    char path[TEXT_BYTES];
    if (dwarf_line_file(unit, position->file, path, sizeof path))
        return;
    line->file = strings_keep(strings, path);
    line->line = (int64_t)position->line;
}

bool dwarf_open(struct dwarf *dwarf, const struct elf *elf, struct dwarf_index *index)
{
    struct dwarf_file file;
    if (!dwarf_file_open(&file, elf, index->budget))
        return false; /* nearly every library: its hundred KiB of units are not cleared */
    *dwarf = (struct dwarf){.index = index, .file = file};
    return true;
}

void dwarf_close(struct dwarf *dwarf)
{
    for (size_t i = 0; i < DWARF_CACHED_UNITS; i++)
        give_up(dwarf, &dwarf->units[i]);
}

size_t dwarf_rest(struct dwarf *dwarf, size_t most)
{
    struct held_units held = look_at_units(dwarf, NULL);
    while (held.bytes > most && held.oldest) {
        give_up(dwarf, held.oldest);
        held = look_at_units(dwarf, NULL);
    }
    dwarf->file.elf = NULL;
    return held.bytes;
}

bool dwarf_resume(struct dwarf *dwarf, const struct elf *elf)
{
    struct dwarf_file file;
    if (!dwarf_file_open(&file, elf, dwarf->index->budget) ||
        memcmp(file.sections, dwarf->file.sections, sizeof file.sections) != 0)
        return false;
    dwarf->file.elf = elf;
    return true;
}

/* The unit of an address, or NULL. */
static struct dwarf_unit *unit_of(struct dwarf *dwarf, uint64_t vaddr)
{
    uint64_t offset;
    if (!dwarf->index->built)
        build_index(dwarf);
    return find_unit(dwarf->index, vaddr, &offset) ? get_unit(dwarf, offset, NULL) : NULL;
}

size_t dwarf_find(struct dwarf *dwarf, uint64_t vaddr, struct strings *strings,
                  struct symbol_line *lines, size_t capacity)
{
    struct scopes scopes = {.count = 0};
    struct dwarf_position position;
    struct dwarf_unit *unit = unit_of(dwarf, vaddr);
    if (!unit)
        return 0;
    bool has_position = !dwarf_line_find(unit, vaddr, &position);
    const struct dwarf_function *function = find_function(unit, vaddr);
    if (function)
        find_scopes(unit, function, vaddr, &scopes);
    if (!scopes.count) {
        lines[0] = (struct symbol_line){.name = NULL};
        if (has_position)
            place(unit, &position, strings, &lines[0]);
        return has_position;
    }
    size_t count = 0;
    for (size_t i = scopes.count; i-- > 0;) {
        const struct scope *scope = &scopes.list[i];
        /* When there are too many, those next to the function itself are left out. */
        if (count + 1 < capacity || !i) {
            struct symbol_line *line = &lines[count++];
            *line = (struct symbol_line){.name = NULL};
            describe(dwarf, unit, scope->offset, strings, line);
            if (has_position)
                place(unit, &position, strings, line);
        }
        has_position = scope->call_line.class == DWARF_CONSTANT;
        position = (struct dwarf_position){.file = scope->call_file.number,
                                           .line = scope->call_line.number};
    }
    return count;
}
