#include "symbol/dwarf_line.h"

#include <dwarf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH_MAX 12  /* bytes of a table's length */
#define FORMATS_MAX 16 /* columns of DWARF 5's lists of directories and files */
#define PATH_BYTES 1024
#define STRETCH_BYTES 512 /* of a line program that are run for one address */
#define MAX_STRETCHES (1u << 16)
#define MAX_OVERLAP 8

struct header {
    struct dwarf_format format;
    uint8_t instruction_size, line_range, opcode_base;
    int8_t line_base;
    uint32_t reciprocal;     /* of line_range, times 2^16, rounded up: see special() */
    const uint8_t *operands; /* how many each standard opcode has; [0] is opcode 1's */
    struct bytes lists;      /* directories and files */
    struct bytes program;
};

/* Reads the unit's whole table into unit->line_data. */
static int load(struct dwarf_unit *unit)
{
    uint8_t raw[LENGTH_MAX];
    if (unit->line_data)
        return 0;
    if (unit->line_tried ||
        (unit->lines.class != DWARF_OFFSET && unit->lines.class != DWARF_CONSTANT))
        return -ENOENT;
    unit->line_tried = true;
    struct bytes bytes =
        bytes_of(raw, dwarf_read(unit->file, DWARF_LINE, unit->lines.number, raw, sizeof raw));
    uint64_t length = bytes_u32(&bytes);
    unit->line_offset_size = 4;
    if (length == 0xffffffff) {
        length = bytes_number(&bytes, 8);
        unit->line_offset_size = 8;
    }
    uint64_t start = unit->lines.number + (uint64_t)(bytes.at - raw);
    if (bytes.failed || length > DWARF_MAX_LINES ||
        !budget_take(unit->file->budget, (size_t)length))
        return -ENOENT;
    unit->taken += (size_t)length;
    unit->line_data = malloc((size_t)length + 1);
    if (!unit->line_data)
        return -ENOENT;
    unit->line_size =
        dwarf_read(unit->file, DWARF_LINE, start, unit->line_data, (size_t)length);
    return 0;
}

static int read_header(struct dwarf_unit *unit, struct header *header)
{
    if (load(unit))
        return -ENOENT;
    struct bytes bytes = bytes_of(unit->line_data, unit->line_size);
    header->format = (struct dwarf_format){.version = bytes_u16(&bytes),
                                           .address_size = unit->format.address_size,
                                           .offset_size = unit->line_offset_size};
    if (header->format.version < 2 || header->format.version > 5)
        return -ENOENT;
    if (header->format.version >= 5)
        bytes_skip(&bytes, 2); /* sizes of addresses and of segment selectors */
    uint64_t length = bytes_number(&bytes, header->format.offset_size);
    header->program = bytes;
    bytes_skip(&header->program, length);
    header->instruction_size = bytes_u8(&bytes);
    if (header->format.version >= 4)
        bytes_skip(&bytes, 1); /* operations in an instruction: one, but on VLIW machines */
    bytes_skip(&bytes, 1);     /* default of is_stmt */
    header->line_base = (int8_t)bytes_u8(&bytes);
    header->line_range = bytes_u8(&bytes);
    header->opcode_base = bytes_u8(&bytes);
    header->operands = bytes.at;
    if (!header->opcode_base || !header->line_range)
        return -ENOENT;
    header->reciprocal = (1u << 16) / header->line_range + 1;
    bytes_skip(&bytes, header->opcode_base - 1u);
    header->lists = bytes;
    return bytes.failed || header->program.failed ? -ENOENT : 0;
}

struct row {
    uint64_t address, file;
    uint64_t line;
    bool ends; /* the sequence: no code from this address on */
};

/* The state machine of the line program (DWARF 5, 6.2). */
struct machine {
    const struct header *header;
    struct bytes program;
    struct row row;
};

static void begin_sequence(struct machine *machine)
{
    machine->row = (struct row){.file = 1, .line = 1};
}

static void run_extended(struct machine *machine, bool *emits)
{
    struct bytes *program = &machine->program;
    uint64_t length = bytes_uleb(program);
    struct bytes operands = *program;
    bytes_skip(program, length);
    if (program->failed || !length)
        return;
    switch (bytes_u8(&operands)) {
    case DW_LNE_end_sequence:
        machine->row.ends = true;
        *emits = true;
        break;
    case DW_LNE_set_address:
        machine->row.address = bytes_number(&operands, length - 1 > 8 ? 8 : length - 1);
        break;
    }
}

static void run_standard(struct machine *machine, uint8_t opcode, bool *emits)
{
    const struct header *header = machine->header;
    struct bytes *program = &machine->program;
    struct row *row = &machine->row;
    switch (opcode) {
    case DW_LNS_copy:
        *emits = true;
        break;
    case DW_LNS_advance_pc:
        row->address += bytes_uleb(program) * header->instruction_size;
        break;
    case DW_LNS_advance_line:
        row->line += (uint64_t)bytes_sleb(program);
        break;
    case DW_LNS_set_file:
        row->file = bytes_uleb(program);
        break;
    case DW_LNS_const_add_pc:
        row->address += (uint64_t)((255 - header->opcode_base) / header->line_range) *
                        header->instruction_size;
        break;
    case DW_LNS_fixed_advance_pc:
        row->address += bytes_u16(program);
        break;
    default:
        for (unsigned i = 0; i < header->operands[opcode - 1]; i++)
            bytes_uleb(program);
    }
}

/* An opcode that advances both at once, as nearly all do. A table has tens of thousands: the
 * quotient is had without a division, exactly, as both numbers are below 2^8. */
static void run_special(struct machine *machine, uint8_t opcode)
{
    const struct header *header = machine->header;
    uint32_t special = (uint32_t)opcode - header->opcode_base;
    uint32_t advance = special * header->reciprocal >> 16;
    int32_t line = header->line_base + (int32_t)(special - advance * header->line_range);
    machine->row.address += (uint64_t)advance * header->instruction_size;
    machine->row.line += (uint64_t)(int64_t)line;
}

/* Runs to the next row. False at the end of the program. */
static bool next_row(struct machine *machine)
{
    const struct header *header = machine->header;
    struct bytes *program = &machine->program;
    bool emits = false;
    if (machine->row.ends)
        begin_sequence(machine);
    while (!emits) {
        if (program->at >= program->end)
            return false;
        uint8_t opcode = *program->at++;
        if (opcode >= header->opcode_base) {
            run_special(machine, opcode);
            emits = true;
        } else if (opcode) {
            run_standard(machine, opcode, &emits);
        } else {
            run_extended(machine, &emits);
        }
    }
    return true;
}

static int by_low(const void *left, const void *right)
{
    const struct dwarf_stretch *a = left, *b = right;
    return a->low < b->low ? -1 : a->low > b->low;
}

/* Adds a stretch that begins after the machine's row; NULL when there is no room. */
static struct dwarf_stretch *add_stretch(struct dwarf_unit *unit, const struct machine *machine)
{
    struct dwarf_outline *outline = &unit->outline;
    struct dwarf_stretch *stretches =
        dwarf_make_room(unit->file->budget, outline->stretches, outline->stretch_count,
                        &outline->stretch_capacity, sizeof *stretches, MAX_STRETCHES);
    if (!stretches)
        return NULL;
    outline->stretches = stretches;
    stretches += outline->stretch_count++;
    *stretches = (struct dwarf_stretch){.low = machine->row.address,
                                        .high = machine->row.address,
                                        .file = machine->row.file,
                                        .line = machine->row.line,
                                        .at = (size_t)(machine->program.at - unit->line_data)};
    return stretches;
}

/* Whether opcodes 5 and 6, which say nothing of addresses and lines, are as the standard has
 * them. */
static bool is_plain(const struct header *header)
{
    return header->opcode_base > DW_LNS_negate_stmt &&
           header->operands[DW_LNS_set_column - 1] == 1 &&
           header->operands[DW_LNS_negate_stmt - 1] == 0;
}

/* An extended opcode of two bytes: which of several blocks of one line it is. */
static inline bool is_discriminator(const uint8_t *at)
{
    return at[0] == 0 && at[1] == 2 && at[2] == DW_LNE_set_discriminator;
}

/* Runs on through what nearly all of a program consists of, up to `end`, and stays before
 * anything else, and before a row beyond the vaddr. The last row's line is in *line. */
static void run_on(struct machine *machine, const uint8_t *end, uint64_t vaddr, uint64_t *line)
{
    const struct header *header = machine->header;
    const uint32_t base = header->opcode_base, range = header->line_range;
    const uint32_t reciprocal = header->reciprocal, size = header->instruction_size;
    const uint64_t line_base = (uint64_t)header->line_base;
    uint64_t address = machine->row.address, now = machine->row.line, last = *line;
    const uint8_t *at = machine->program.at;
    if (!is_plain(header))
        return;
    for (; end - at > 3; at++) {
        if (*at >= base) {
            uint32_t special = *at - base, advance = special * reciprocal >> 16;
            if (address + (uint64_t)advance * size > vaddr)
                break;
            address += (uint64_t)advance * size;
            last = now += line_base + special - advance * range;
        } else if (*at == DW_LNS_copy) {
            last = now;
        } else if (*at == DW_LNS_advance_line && at[1] < 0x80) {
            now += (uint64_t)((at[1] & 0x3f) - (at[1] & 0x40));
            at++;
        } else if (*at == DW_LNS_set_column && at[1] < 0x80) {
            at++;
        } else if (is_discriminator(at)) {
            at += 3;
        } else if (*at != DW_LNS_negate_stmt) {
            break;
        }
    }
    machine->row.address = address;
    machine->row.line = now;
    machine->program.at = at;
    *line = last;
}

/* Runs the whole program once and notes where it can be entered. */
static void find_stretches(struct dwarf_unit *unit, const struct header *header)
{
    struct machine machine = {.header = header, .program = header->program};
    struct dwarf_stretch *stretch = NULL;
    uint64_t line = 0;
    begin_sequence(&machine);
    while (next_row(&machine)) {
        const uint8_t *end = machine.program.end;
        if (machine.row.ends) {
            if (stretch)
                stretch->high = machine.row.address;
            stretch = NULL;
            continue;
        }
        if (!stretch || machine.program.at >= unit->line_data + stretch->at + STRETCH_BYTES) {
            if (stretch)
                stretch->high = machine.row.address;
            stretch = add_stretch(unit, &machine);
            if (!stretch)
                break;
        }
        const uint8_t *next = unit->line_data + stretch->at + STRETCH_BYTES;
        run_on(&machine, next < end ? next : end, UINT64_MAX, &line);
        stretch->high = machine.row.address;
    }
    unit->outline.stretches_found = true;
    if (unit->outline.stretch_count)
        qsort(unit->outline.stretches, unit->outline.stretch_count,
              sizeof *unit->outline.stretches, by_low);
}

/* The stretch that has a vaddr; NULL when none has. They overlap only by mistake, or where
 * the linker dropped code and left its lines at address 0. */
static const struct dwarf_stretch *find_stretch(const struct dwarf_outline *outline,
                                                uint64_t vaddr)
{
    size_t low = 0, high = outline->stretch_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (outline->stretches[middle].low <= vaddr)
            low = middle + 1;
        else
            high = middle;
    }
    for (size_t i = low, tries = 0; i-- > 0 && tries < MAX_OVERLAP; tries++) {
        if (vaddr < outline->stretches[i].high)
            return &outline->stretches[i];
    }
    return NULL;
}

int dwarf_line_find(struct dwarf_unit *unit, uint64_t vaddr, struct dwarf_position *position)
{
    struct header header;
    if (read_header(unit, &header))
        return -ENOENT;
    if (!unit->outline.stretches_found)
        find_stretches(unit, &header);
    const struct dwarf_stretch *stretch = find_stretch(&unit->outline, vaddr);
    if (!stretch || stretch->at > unit->line_size)
        return -ENOENT;
    struct machine machine = {.header = &header, .program = header.program};
    machine.program.at = unit->line_data + stretch->at;
    machine.row =
        (struct row){.address = stretch->low, .file = stretch->file, .line = stretch->line};
    do {
        *position = (struct dwarf_position){.file = machine.row.file, .line = machine.row.line};
        run_on(&machine, machine.program.end, vaddr, &position->line);
    } while (next_row(&machine) && machine.row.address <= vaddr && !machine.row.ends);
    return 0;
}

/* Joins a directory and a name, unless the name needs none. */
static void join(const char *directory, const char *name, char *path, size_t capacity)
{
    if (name[0] == '/' || !directory[0])
        snprintf(path, capacity, "%s", name);
    else
        snprintf(path, capacity, "%s/%s", directory, name);
}

/* The lists of DWARF 2 to 4: directories from 1 on, an empty one ends; files from 1 on. */
static int old_file(struct bytes lists, uint64_t file, const char **directory,
                    const char **name)
{
    struct bytes files = lists;
    const char *text;
    while ((text = bytes_string(&files)) && text[0])
        ;
    uint64_t in = 0;
    for (uint64_t i = 1; i <= file; i++) {
        *name = bytes_string(&files);
        in = bytes_uleb(&files);
        bytes_uleb(&files); /* time */
        bytes_uleb(&files); /* size */
        if (!*name || files.failed || !(*name)[0])
            return -ENOENT;
    }
    *directory = "";
    for (uint64_t i = 0; i < in; i++) {
        *directory = bytes_string(&lists);
        if (!*directory || !(*directory)[0])
            return -ENOENT;
    }
    return file ? 0 : -ENOENT;
}

struct column {
    uint64_t content, form;
};

/* One list of DWARF 5: the entry at `index`, its path and the directory it is in. Leaves the
 * cursor after the list if the index is not in it. */
static int new_entry(const struct dwarf_format *format, struct bytes *lists, uint64_t index,
                     struct dwarf_value *path, uint64_t *directory)
{
    struct column columns[FORMATS_MAX];
    size_t count = bytes_u8(lists);
    if (count > FORMATS_MAX)
        return -EINVAL;
    for (size_t i = 0; i < count; i++)
        columns[i] = (struct column){.content = bytes_uleb(lists), .form = bytes_uleb(lists)};
    uint64_t entries = bytes_uleb(lists);
    for (uint64_t entry = 0; entry < entries && !lists->failed; entry++) {
        for (size_t i = 0; i < count; i++) {
            struct dwarf_value value = {.class = DWARF_NONE};
            dwarf_read_form(format, lists, columns[i].form, 0, &value);
            if (entry == index && columns[i].content == DW_LNCT_path)
                *path = value;
            if (entry == index && columns[i].content == DW_LNCT_directory_index)
                *directory = value.number;
        }
        if (entry == index)
            return lists->failed ? -EINVAL : 0;
        if (!count)
            break; /* entries of nothing, maybe billions of them */
    }
    return lists->failed ? -EINVAL : -ENOENT;
}

static int new_file(const struct dwarf_unit *unit, const struct header *header, uint64_t file,
                    char *directory, char *name, size_t capacity)
{
    const struct dwarf_format *format = &header->format;
    struct bytes lists = header->lists, directories = lists;
    struct dwarf_value path = {.class = DWARF_NONE};
    uint64_t in = 0;
    if (new_entry(format, &lists, UINT64_MAX, &path, &in) != -ENOENT ||
        new_entry(format, &lists, file, &path, &in) || dwarf_text(unit, &path, name, capacity))
        return -ENOENT;
    uint64_t ignored;
    if (new_entry(format, &directories, in, &path, &ignored) ||
        dwarf_text(unit, &path, directory, capacity))
        directory[0] = '\0';
    return 0;
}

int dwarf_line_file(struct dwarf_unit *unit, uint64_t file, char *path, size_t capacity)
{
    struct header header;
    char directory[PATH_BYTES], name[PATH_BYTES], base[PATH_BYTES], inner[2 * PATH_BYTES];
    const char *old_directory, *old_name;
    if (read_header(unit, &header))
        return -ENOENT;
    if (header.format.version >= 5) {
        if (new_file(unit, &header, file, directory, name, PATH_BYTES))
            return -ENOENT;
    } else {
        if (old_file(header.lists, file, &old_directory, &old_name))
            return -ENOENT;
        snprintf(directory, sizeof directory, "%s", old_directory);
        snprintf(name, sizeof name, "%s", old_name);
    }
    join(directory, name, inner, sizeof inner);
    if (dwarf_text(unit, &unit->directory, base, sizeof base))
        base[0] = '\0';
    join(base, inner, path, capacity);
    return 0;
}
