#include "symbol/dwarf_unit.h"

#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_MAX 64      /* more than the longest unit header */
#define LIST_WINDOW 512    /* bytes of a range list read at a time */
#define LIST_ENTRY_MAX 32  /* more than the longest entry of one */
#define MAX_LIST 65536     /* ranges looked at in one list */
#define FIRST_ABBREVS 4096 /* bytes of them read at first */
#define OWN_ENTRY 1024     /* bytes of a unit that hold its own entry */

bool dwarf_file_open(struct dwarf_file *file, const struct elf *elf, struct budget *budget)
{
    static const char *const names[DWARF_SECTIONS] = {
        [DWARF_INFO] = ".debug_info",         [DWARF_ABBREV] = ".debug_abbrev",
        [DWARF_LINE] = ".debug_line",         [DWARF_STR] = ".debug_str",
        [DWARF_LINE_STR] = ".debug_line_str", [DWARF_STR_OFFSETS] = ".debug_str_offsets",
        [DWARF_ADDR] = ".debug_addr",         [DWARF_RANGES] = ".debug_ranges",
        [DWARF_RNGLISTS] = ".debug_rnglists",
    };
    *file = (struct dwarf_file){.elf = elf, .budget = budget};
    for (int i = 0; i < DWARF_SECTIONS; i++) {
        const Elf64_Shdr *section = elf_section(elf, names[i]);
        if (!section || (section->sh_flags & SHF_COMPRESSED))
            continue;
        file->sections[i].offset = section->sh_offset;
        file->sections[i].size = section->sh_size;
    }
    return file->sections[DWARF_INFO].size && file->sections[DWARF_ABBREV].size;
}

size_t dwarf_read(const struct dwarf_file *file, enum dwarf_section_id section, uint64_t offset,
                  void *buffer, size_t size)
{
    uint64_t total = file->sections[section].size;
    if (offset >= total)
        return 0;
    if (size > total - offset)
        size = (size_t)(total - offset);
    ssize_t got =
        elf_read_some(file->elf, file->sections[section].offset + offset, buffer, size);
    return got > 0 ? (size_t)got : 0;
}

/* Abbreviations */

/* The size of a form's values where it is always the same, else -1. */
static int fixed_size(const struct dwarf_format *format, uint64_t form)
{
    switch (form) {
    case DW_FORM_flag_present:
    case DW_FORM_implicit_const:
        return 0;
    case DW_FORM_data1:
    case DW_FORM_ref1:
    case DW_FORM_flag:
    case DW_FORM_strx1:
    case DW_FORM_addrx1:
        return 1;
    case DW_FORM_data2:
    case DW_FORM_ref2:
    case DW_FORM_strx2:
    case DW_FORM_addrx2:
        return 2;
    case DW_FORM_strx3:
    case DW_FORM_addrx3:
        return 3;
    case DW_FORM_data4:
    case DW_FORM_ref4:
    case DW_FORM_ref_sup4:
    case DW_FORM_strx4:
    case DW_FORM_addrx4:
        return 4;
    case DW_FORM_data8:
    case DW_FORM_ref8:
    case DW_FORM_ref_sig8:
    case DW_FORM_ref_sup8:
        return 8;
    case DW_FORM_data16:
        return 16;
    case DW_FORM_addr:
        return format->address_size;
    case DW_FORM_ref_addr:
        return format->version == 2 ? format->address_size : format->offset_size;
    case DW_FORM_strp:
    case DW_FORM_line_strp:
    case DW_FORM_strp_sup:
    case DW_FORM_sec_offset:
    case DW_FORM_GNU_ref_alt:
    case DW_FORM_GNU_strp_alt:
        return format->offset_size;
    default:
        return -1;
    }
}

/* Reads one abbreviation; its attributes go to `attributes` unless that is NULL. */
static bool read_abbrev(const struct dwarf_unit *unit, struct bytes *bytes,
                        struct dwarf_abbrev *abbrev, struct dwarf_attribute *attributes)
{
    *abbrev = (struct dwarf_abbrev){.code = bytes_uleb(bytes)};
    if (bytes->failed || !abbrev->code)
        return false;
    abbrev->tag = (uint32_t)bytes_uleb(bytes);
    abbrev->has_children = bytes_u8(bytes);
    uint64_t size = 0;
    bool is_fixed = true;
    for (;; abbrev->count++) {
        uint64_t name = bytes_uleb(bytes), form = bytes_uleb(bytes);
        int64_t implicit = form == DW_FORM_implicit_const ? bytes_sleb(bytes) : 0;
        if (bytes->failed || (!name && !form))
            break;
        int value_size = fixed_size(&unit->format, form);
        is_fixed = is_fixed && value_size >= 0;
        size += value_size > 0 ? (uint64_t)value_size : 0;
        abbrev->has_sibling |= name == DW_AT_sibling;
        if (attributes)
            attributes[abbrev->count] = (struct dwarf_attribute){.name = (uint16_t)name,
                                                                 .form = (uint16_t)form,
                                                                 .size = (int8_t)value_size,
                                                                 .implicit = implicit};
    }
    abbrev->fixed_size = is_fixed && size < DWARF_NOT_FIXED ? (uint32_t)size : DWARF_NOT_FIXED;
    return !bytes->failed;
}

static int by_code(const void *left, const void *right)
{
    const struct dwarf_abbrev *a = left, *b = right;
    return a->code < b->code ? -1 : a->code > b->code;
}

static int take(struct dwarf_unit *unit, void *pointer, size_t count, size_t size)
{
    void **memory = pointer;
    if (!budget_take(unit->file->budget, count * size))
        return -ENOMEM;
    *memory = malloc(count ? count * size : 1);
    if (!*memory) {
        budget_give(unit->file->budget, count * size);
        return -ENOMEM;
    }
    unit->taken += count * size;
    return 0;
}

/* A unit's abbreviations, as they lie in the file. */
struct abbrev_list {
    uint8_t *data;
    size_t size;
    size_t first; /* where those that are wanted begin */
    size_t count, attributes;
};

/* False: the bytes end before the list does. */
static bool count_abbrevs(const struct dwarf_unit *unit, struct abbrev_list *list)
{
    struct bytes bytes = bytes_of(list->data, list->size);
    struct dwarf_abbrev abbrev;
    list->count = list->attributes = 0;
    while (read_abbrev(unit, &bytes, &abbrev, NULL)) {
        list->count++;
        list->attributes += abbrev.count;
    }
    return !bytes.failed;
}

static void skip_abbrev(struct bytes *bytes)
{
    uint64_t name, form;
    bytes_uleb(bytes); /* its tag */
    bytes_skip(bytes, 1);
    do {
        name = bytes_uleb(bytes);
        form = bytes_uleb(bytes);
        if (form == DW_FORM_implicit_const)
            bytes_sleb(bytes);
    } while (name != 0 || form != 0); /* both are 0 at the end of the bytes, too */
}

/* The same for one alone, that with a code: the others are passed over. */
static bool count_abbrev(const struct dwarf_unit *unit, struct abbrev_list *list, uint64_t code)
{
    struct bytes bytes = bytes_of(list->data, list->size), here = bytes;
    struct dwarf_abbrev abbrev;
    uint64_t found;
    list->count = list->attributes = 0;
    while ((found = bytes_uleb(&bytes)) != 0 && found != code) {
        skip_abbrev(&bytes);
        here = bytes;
    }
    if (found == 0)
        return !bytes.failed;
    list->first = (size_t)(here.at - list->data);
    if (!read_abbrev(unit, &here, &abbrev, NULL))
        return false;
    list->count = 1;
    list->attributes = abbrev.count;
    return true;
}

/* What has been counted. */
static int parse_abbrevs(struct dwarf_unit *unit, const struct abbrev_list *list)
{
    size_t count = list->count;
    int error = take(unit, &unit->abbrevs, count, sizeof *unit->abbrevs);
    if (!error)
        error = take(unit, &unit->attributes, list->attributes, sizeof *unit->attributes);
    if (error)
        return error;
    struct bytes bytes = bytes_of(list->data + list->first, list->size - list->first);
    bool ascending = true;
    for (uint32_t i = 0, first = 0; i < count; i++) {
        read_abbrev(unit, &bytes, &unit->abbrevs[i], unit->attributes + first);
        unit->abbrevs[i].first = first;
        first += unit->abbrevs[i].count;
        ascending = ascending && (!i || unit->abbrevs[i - 1].code < unit->abbrevs[i].code);
    }
    if (!ascending)
        qsort(unit->abbrevs, count, sizeof *unit->abbrevs, by_code);
    unit->abbrev_count = count;
    return 0;
}

/* The one with a code, or all where that is 0. Most lists take one or two KiB of the many that
 * one may take. */
static int load_abbrevs(struct dwarf_unit *unit, uint64_t offset, uint64_t code)
{
    const size_t most = DWARF_MAX_ABBREV;
    size_t wanted = FIRST_ABBREVS;
    for (;; wanted = wanted * 8 < most ? wanted * 8 : most) {
        struct abbrev_list list = {.data = malloc(wanted)};
        if (!list.data)
            return -ENOMEM;
        list.size = dwarf_read(unit->file, DWARF_ABBREV, offset, list.data, wanted);
        bool whole = (code ? count_abbrev(unit, &list, code) : count_abbrevs(unit, &list)) ||
                     list.size < wanted || wanted == most;
        int error = whole ? parse_abbrevs(unit, &list) : 0;
        free(list.data);
        if (whole)
            return error;
    }
}

static const struct dwarf_abbrev *find_abbrev(const struct dwarf_unit *unit, uint64_t code)
{
    if (code <= unit->abbrev_count && unit->abbrevs[code - 1].code == code)
        return &unit->abbrevs[code - 1];
    struct dwarf_abbrev key = {.code = code};
    return bsearch(&key, unit->abbrevs, unit->abbrev_count, sizeof key, by_code);
}

/* Units */

void *dwarf_make_room(struct budget *budget, void *array, size_t count, size_t *capacity,
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

size_t dwarf_outline_size(const struct dwarf_outline *outline)
{
    return outline->function_capacity * sizeof *outline->functions +
           outline->stretch_capacity * sizeof *outline->stretches;
}

void dwarf_outline_free(struct dwarf_outline *outline, struct budget *budget)
{
    budget_give(budget, dwarf_outline_size(outline));
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): of a unit that was freed it has none */
    free(outline->functions);
    free(outline->stretches);
    *outline = (struct dwarf_outline){.functions = NULL};
}

size_t dwarf_unit_size(const struct dwarf_unit *unit)
{
    return unit->taken + dwarf_outline_size(&unit->outline);
}

void dwarf_unit_free(struct dwarf_unit *unit)
{
    if (!unit->file)
        return;
    budget_give(unit->file->budget, unit->taken);
    dwarf_outline_free(&unit->outline, unit->file->budget);
    free(unit->data);
    free(unit->abbrevs);
    free(unit->attributes);
    free(unit->line_data);
    *unit = (struct dwarf_unit){.file = NULL};
}

static int read_header(struct dwarf_unit *unit, uint64_t *abbrev_offset)
{
    uint8_t raw[HEADER_MAX];
    size_t got = dwarf_read(unit->file, DWARF_INFO, unit->offset, raw, sizeof raw);
    struct bytes bytes = bytes_of(raw, got);
    uint64_t length = bytes_u32(&bytes);
    unit->format.offset_size = 4;
    if (length == 0xffffffff) {
        length = bytes_number(&bytes, 8);
        unit->format.offset_size = 8;
    }
    uint64_t start = unit->offset + (uint64_t)(bytes.at - raw);
    unit->format.version = bytes_u16(&bytes);
    unit->type = DW_UT_compile;
    if (unit->format.version >= 5) {
        unit->type = bytes_u8(&bytes);
        unit->format.address_size = bytes_u8(&bytes);
    }
    *abbrev_offset = bytes_number(&bytes, unit->format.offset_size);
    if (unit->format.version < 5)
        unit->format.address_size = bytes_u8(&bytes);
    if (unit->type == DW_UT_skeleton || unit->type == DW_UT_split_compile)
        bytes_skip(&bytes, 8);
    if (unit->type == DW_UT_type || unit->type == DW_UT_split_type)
        bytes_skip(&bytes, 8 + (uint64_t)unit->format.offset_size);
    if (bytes.failed || length > unit->file->sections[DWARF_INFO].size - start)
        return -EINVAL;
    unit->end = start + length;
    unit->header_size = (size_t)(bytes.at - raw);
    return 0;
}

/* The unit's own entry says where its other tables begin. */
static int read_unit_entry(struct dwarf_unit *unit)
{
    struct bytes cursor = dwarf_entries_from(unit, unit->offset + unit->header_size);
    struct dwarf_entry entry;
    int work = dwarf_read_entry(unit, &cursor, false, &entry);
    if (work < 0)
        return work;
    unit->tag = entry.tag;
    unit->directory = entry.directory;
    unit->low = entry.low;
    unit->high = entry.high;
    unit->ranges = entry.ranges;
    unit->lines = entry.lines;
    unit->string_base = entry.string_base.number;
    unit->address_base = entry.address_base.number;
    unit->list_base = entry.list_base.number;
    if (dwarf_address(unit, &unit->low, &unit->low_pc))
        unit->low_pc = 0;
    return 0;
}

/* The code of the unit's own entry's abbreviation; 0 when there is none. */
static uint64_t own_code(const struct dwarf_unit *unit)
{
    struct bytes cursor = dwarf_entries_from(unit, unit->offset + unit->header_size);
    return bytes_uleb(&cursor);
}

int dwarf_unit_load(struct dwarf_unit *unit, const struct dwarf_file *file, uint64_t offset,
                    bool whole)
{
    const uint64_t most = whole ? DWARF_MAX_UNIT : OWN_ENTRY;
    uint64_t abbrev_offset;
    dwarf_unit_free(unit);
    unit->file = file;
    unit->offset = offset;
    int error = read_header(unit, &abbrev_offset);
    if (error) {
        dwarf_unit_free(unit);
        return error;
    }
    uint64_t size = unit->end - offset < most ? unit->end - offset : most;
    uint64_t end = unit->end;
    if (unit->format.version < 2 || unit->format.version > 5 ||
        unit->format.address_size != sizeof(uint64_t))
        error = -ENOTSUP;
    if (!error)
        error = take(unit, &unit->data, (size_t)size, 1);
    if (!error && dwarf_read(file, DWARF_INFO, offset, unit->data, (size_t)size) != size)
        error = -EIO;
    unit->loaded = offset + size;
    if (!error)
        error = load_abbrevs(unit, abbrev_offset, whole ? 0 : own_code(unit));
    if (!error)
        error = read_unit_entry(unit);
    if (error) {
        dwarf_unit_free(unit);
        unit->end = end; /* the next unit can still be found */
    }
    return error;
}

/* Entries */

struct bytes dwarf_entries_from(const struct dwarf_unit *unit, uint64_t offset)
{
    if (offset < unit->offset + unit->header_size || offset >= unit->loaded)
        return (struct bytes){.failed = true};
    return bytes_of(unit->data + (offset - unit->offset), (size_t)(unit->loaded - offset));
}

static struct dwarf_value number_value(enum dwarf_class class, uint64_t number)
{
    return (struct dwarf_value){.class = class, .number = number};
}

static struct dwarf_value text_at(enum dwarf_section_id section, uint64_t offset)
{
    return (struct dwarf_value){
        .class = DWARF_STRING_OFFSET, .section = section, .number = offset};
}

static void skip_block(struct bytes *cursor, uint64_t size, struct dwarf_value *value)
{
    bytes_skip(cursor, size);
    value->class = DWARF_OTHER;
}

/* Forms whose size is in their first bytes, or which are LEB128 or text. */
static void read_variable_form(struct bytes *cursor, uint64_t form, struct dwarf_value *value)
{
    switch (form) {
    case DW_FORM_string:
        *value =
            (struct dwarf_value){.class = DWARF_INLINE_STRING, .string = bytes_string(cursor)};
        break;
    case DW_FORM_sdata:
        *value = number_value(DWARF_CONSTANT, (uint64_t)bytes_sleb(cursor));
        break;
    case DW_FORM_udata:
        *value = number_value(DWARF_CONSTANT, bytes_uleb(cursor));
        break;
    case DW_FORM_ref_udata:
        *value = number_value(DWARF_UNIT_REFERENCE, bytes_uleb(cursor));
        break;
    case DW_FORM_strx:
    case DW_FORM_GNU_str_index:
        *value = number_value(DWARF_STRING_INDEX, bytes_uleb(cursor));
        break;
    case DW_FORM_addrx:
    case DW_FORM_GNU_addr_index:
        *value = number_value(DWARF_ADDRESS_INDEX, bytes_uleb(cursor));
        break;
    case DW_FORM_rnglistx:
        *value = number_value(DWARF_LIST_INDEX, bytes_uleb(cursor));
        break;
    case DW_FORM_loclistx:
        *value = number_value(DWARF_OTHER, bytes_uleb(cursor));
        break;
    case DW_FORM_block1:
        skip_block(cursor, bytes_u8(cursor), value);
        break;
    case DW_FORM_block2:
        skip_block(cursor, bytes_u16(cursor), value);
        break;
    case DW_FORM_block4:
        skip_block(cursor, bytes_u32(cursor), value);
        break;
    case DW_FORM_block:
    case DW_FORM_exprloc:
        skip_block(cursor, bytes_uleb(cursor), value);
        break;
    default: /* unknown: nothing after it can be read */
        bytes_fail(cursor);
    }
}

/* What a number of a fixed-size form is. */
static struct dwarf_value meaning(uint64_t form, uint64_t number)
{
    switch (form) {
    case DW_FORM_addr:
        return number_value(DWARF_ADDRESS, number);
    case DW_FORM_addrx1:
    case DW_FORM_addrx2:
    case DW_FORM_addrx3:
    case DW_FORM_addrx4:
        return number_value(DWARF_ADDRESS_INDEX, number);
    case DW_FORM_strx1:
    case DW_FORM_strx2:
    case DW_FORM_strx3:
    case DW_FORM_strx4:
        return number_value(DWARF_STRING_INDEX, number);
    case DW_FORM_ref1:
    case DW_FORM_ref2:
    case DW_FORM_ref4:
    case DW_FORM_ref8:
        return number_value(DWARF_UNIT_REFERENCE, number);
    case DW_FORM_ref_addr:
        return number_value(DWARF_REFERENCE, number);
    case DW_FORM_strp:
        return text_at(DWARF_STR, number);
    case DW_FORM_line_strp:
        return text_at(DWARF_LINE_STR, number);
    case DW_FORM_sec_offset:
        return number_value(DWARF_OFFSET, number);
    case DW_FORM_data1:
    case DW_FORM_data2:
    case DW_FORM_data4:
    case DW_FORM_data8:
        return number_value(DWARF_CONSTANT, number);
    default:
        return number_value(DWARF_OTHER, number);
    }
}

/* Passes over a value of an attribute that does not matter. */
static void skip_value(const struct dwarf_format *format, struct bytes *cursor,
                       const struct dwarf_attribute *attribute)
{
    struct dwarf_value ignored;
    if (attribute->size >= 0)
        bytes_skip(cursor, (uint64_t)attribute->size);
    else
        dwarf_read_form(format, cursor, attribute->form, 0, &ignored);
}

void dwarf_read_form(const struct dwarf_format *format, struct bytes *cursor, uint64_t form,
                     int64_t implicit, struct dwarf_value *value)
{
    if (form == DW_FORM_indirect)
        form = bytes_uleb(cursor);
    int size = fixed_size(format, form);
    if (form == DW_FORM_implicit_const)
        *value = number_value(DWARF_CONSTANT, (uint64_t)implicit);
    else if (size < 0)
        read_variable_form(cursor, form, value);
    else if (size > 8)
        skip_block(cursor, (uint64_t)size, value);
    else
        *value = meaning(form, bytes_number(cursor, (size_t)size));
    if (cursor->failed)
        *value = (struct dwarf_value){.class = DWARF_NONE};
}

/* Where an attribute's value goes; NULL for those that don't matter. */
static struct dwarf_value *place_of(struct dwarf_entry *entry, uint16_t name)
{
    switch (name) {
    case DW_AT_name:
        return &entry->name;
    case DW_AT_linkage_name:
    case DW_AT_MIPS_linkage_name:
        return &entry->linkage;
    case DW_AT_abstract_origin:
    case DW_AT_specification:
        return &entry->origin;
    case DW_AT_low_pc:
        return &entry->low;
    case DW_AT_high_pc:
        return &entry->high;
    case DW_AT_ranges:
        return &entry->ranges;
    case DW_AT_sibling:
        return &entry->sibling;
    case DW_AT_decl_line:
        return &entry->decl_line;
    case DW_AT_call_file:
        return &entry->call_file;
    case DW_AT_call_line:
        return &entry->call_line;
    case DW_AT_comp_dir:
        return &entry->directory;
    case DW_AT_stmt_list:
        return &entry->lines;
    case DW_AT_str_offsets_base:
        return &entry->string_base;
    case DW_AT_addr_base:
    case DW_AT_GNU_addr_base:
        return &entry->address_base;
    case DW_AT_rnglists_base:
        return &entry->list_base;
    default:
        return NULL;
    }
}

int dwarf_read_entry(const struct dwarf_unit *unit, struct bytes *cursor, bool skim,
                     struct dwarf_entry *entry)
{
    uint64_t offset = unit->offset + (uint64_t)(cursor->at - unit->data);
    uint64_t code = bytes_uleb(cursor);
    /* Most entries are only skimmed: for those the rest of the struct is left as it is. */
    if (skim)
        entry->sibling.class = DWARF_NONE;
    else
        *entry = (struct dwarf_entry){.tag = 0};
    entry->offset = offset;
    entry->tag = 0;
    if (cursor->failed)
        return -EINVAL;
    if (!code)
        return 1;
    const struct dwarf_abbrev *abbrev = find_abbrev(unit, code);
    if (!abbrev)
        return -EINVAL;
    entry->tag = abbrev->tag;
    entry->has_children = abbrev->has_children;
    if (skim && abbrev->fixed_size != DWARF_NOT_FIXED &&
        !(abbrev->has_sibling && abbrev->has_children)) {
        bytes_skip(cursor, abbrev->fixed_size);
        return cursor->failed ? -EINVAL : 1;
    }
    for (uint32_t i = 0; i < abbrev->count && !cursor->failed; i++) {
        const struct dwarf_attribute *attribute = &unit->attributes[abbrev->first + i];
        bool matters = !skim || attribute->name == DW_AT_sibling;
        struct dwarf_value *place = matters ? place_of(entry, attribute->name) : NULL;
        if (!place) {
            skip_value(&unit->format, cursor, attribute);
            continue;
        }
        dwarf_read_form(&unit->format, cursor, attribute->form, attribute->implicit, place);
        if (place->class == DWARF_UNIT_REFERENCE) {
            place->class = DWARF_REFERENCE;
            place->number += unit->offset;
        }
    }
    return cursor->failed ? -EINVAL : (int)abbrev->count + 1;
}

/* Values */

int dwarf_text(const struct dwarf_unit *unit, const struct dwarf_value *value, char *text,
               size_t capacity)
{
    enum dwarf_section_id section = value->section;
    uint64_t offset = value->number;
    if (value->class == DWARF_INLINE_STRING) {
        size_t length = strnlen(value->string, capacity - 1);
        memcpy(text, value->string, length);
        text[length] = '\0';
        return 0;
    }
    if (value->class == DWARF_STRING_INDEX) {
        uint8_t raw[8];
        uint64_t at = unit->string_base + value->number * unit->format.offset_size;
        if (value->number > UINT32_MAX ||
            dwarf_read(unit->file, DWARF_STR_OFFSETS, at, raw, unit->format.offset_size) !=
                unit->format.offset_size)
            return -ENOENT;
        struct bytes bytes = bytes_of(raw, unit->format.offset_size);
        offset = bytes_number(&bytes, unit->format.offset_size);
        section = DWARF_STR;
    } else if (value->class != DWARF_STRING_OFFSET) {
        return -ENOENT;
    }
    size_t got = dwarf_read(unit->file, section, offset, text, capacity - 1);
    text[got] = '\0';
    return got && text[0] ? 0 : -ENOENT;
}

int dwarf_address(const struct dwarf_unit *unit, const struct dwarf_value *value,
                  uint64_t *address)
{
    if (value->class == DWARF_ADDRESS) {
        *address = value->number;
        return 0;
    }
    if (value->class != DWARF_ADDRESS_INDEX || value->number > UINT32_MAX)
        return -ENOENT;
    uint64_t at = unit->address_base + value->number * unit->format.address_size;
    bool got =
        dwarf_read(unit->file, DWARF_ADDR, at, address, sizeof *address) == sizeof *address;
    return got ? 0 : -ENOENT;
}

/* Range lists */

struct list {
    const struct dwarf_unit *unit;
    enum dwarf_section_id section;
    uint64_t next; /* offset in the section of the first byte that is not in the window */
    uint64_t base; /* what the offsets in the list are from */
    struct bytes window;
    uint8_t bytes[LIST_WINDOW];
};

/* Sees to it that the next entry is in the window as a whole. */
static void refill(struct list *list)
{
    size_t left = bytes_left(&list->window);
    if (left >= LIST_ENTRY_MAX)
        return;
    memmove(list->bytes, list->window.at, left);
    size_t got = dwarf_read(list->unit->file, list->section, list->next, list->bytes + left,
                            sizeof list->bytes - left);
    list->next += got;
    list->window = bytes_of(list->bytes, left + got);
}

static uint64_t indexed_address(const struct dwarf_unit *unit, uint64_t index)
{
    struct dwarf_value value = number_value(DWARF_ADDRESS_INDEX, index);
    uint64_t address;
    return dwarf_address(unit, &value, &address) ? 0 : address;
}

/* The next range of a list: 1 and the range (empty where the entry only set the base), 0 at
 * the end. */
static int next_old(struct list *list, uint64_t *low, uint64_t *high)
{
    uint64_t first = bytes_number(&list->window, 8), second = bytes_number(&list->window, 8);
    *low = *high = 0;
    if (list->window.failed || (!first && !second))
        return 0;
    if (first == UINT64_MAX) {
        list->base = second;
        return 1;
    }
    *low = list->base + first;
    *high = list->base + second;
    return 1;
}

static int next_new(struct list *list, uint64_t *low, uint64_t *high)
{
    const struct dwarf_unit *unit = list->unit;
    struct bytes *window = &list->window;
    uint8_t kind = bytes_u8(window);
    *low = *high = 0;
    switch (kind) {
    case DW_RLE_base_addressx:
        list->base = indexed_address(unit, bytes_uleb(window));
        break;
    case DW_RLE_startx_endx:
        *low = indexed_address(unit, bytes_uleb(window));
        *high = indexed_address(unit, bytes_uleb(window));
        break;
    case DW_RLE_startx_length:
        *low = indexed_address(unit, bytes_uleb(window));
        *high = *low + bytes_uleb(window);
        break;
    case DW_RLE_offset_pair:
        *low = list->base + bytes_uleb(window);
        *high = list->base + bytes_uleb(window);
        break;
    case DW_RLE_base_address:
        list->base = bytes_number(window, 8);
        break;
    case DW_RLE_start_end:
        *low = bytes_number(window, 8);
        *high = bytes_number(window, 8);
        break;
    case DW_RLE_start_length:
        *low = bytes_number(window, 8);
        *high = *low + bytes_uleb(window);
        break;
    default: /* DW_RLE_end_of_list, or nothing we know */
        return 0;
    }
    return !window->failed;
}

/* Where a list begins; false when the value says nothing of use. */
static bool find_list(const struct dwarf_unit *unit, const struct dwarf_value *ranges,
                      uint64_t *offset)
{
    if (ranges->class == DWARF_LIST_INDEX && ranges->number < UINT32_MAX) {
        uint8_t raw[8];
        uint64_t at = unit->list_base + ranges->number * unit->format.offset_size;
        if (dwarf_read(unit->file, DWARF_RNGLISTS, at, raw, unit->format.offset_size) !=
            unit->format.offset_size)
            return false;
        struct bytes bytes = bytes_of(raw, unit->format.offset_size);
        *offset = unit->list_base + bytes_number(&bytes, unit->format.offset_size);
        return true;
    }
    *offset = ranges->number; /* DWARF 2 and 3 wrote offsets as plain numbers */
    return ranges->class == DWARF_OFFSET || ranges->class == DWARF_CONSTANT;
}

bool dwarf_each_range(const struct dwarf_unit *unit, const struct dwarf_value *low,
                      const struct dwarf_value *high, const struct dwarf_value *ranges,
                      bool (*visit)(void *closure, uint64_t low, uint64_t high), void *closure)
{
    uint64_t from, to, offset;
    if (!dwarf_address(unit, low, &from)) {
        if (high->class == DWARF_CONSTANT)
            return visit(closure, from, from + high->number);
        if (!dwarf_address(unit, high, &to))
            return visit(closure, from, to);
    }
    if (!find_list(unit, ranges, &offset))
        return false;
    bool is_new = unit->format.version >= 5;
    struct list list = {.unit = unit,
                        .section = is_new ? DWARF_RNGLISTS : DWARF_RANGES,
                        .next = offset,
                        .base = unit->low_pc};
    list.window = bytes_of(list.bytes, 0);
    for (int i = 0; i < MAX_LIST; i++) {
        refill(&list);
        if (!(is_new ? next_new : next_old)(&list, &from, &to))
            return false;
        if (from < to && visit(closure, from, to))
            return true;
    }
    return false;
}
