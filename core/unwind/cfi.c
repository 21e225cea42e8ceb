/* Handler code too: mapped.c runs it inside the sampling signal. See cfi.h. */
#include "unwind/cfi.h"

#include <errno.h>
#include <string.h>

#include "unwind/arch.h"

/* DW_EH_PE_…: the low four bits say how an address is stored, the next three what it is
 * relative to. */
enum {
    ENCODING_OMIT = 0xff,
    FORMAT_ABSOLUTE = 0x00,
    FORMAT_ULEB = 0x01,
    FORMAT_U2 = 0x02,
    FORMAT_U4 = 0x03,
    FORMAT_U8 = 0x04,
    FORMAT_SLEB = 0x09,
    FORMAT_S2 = 0x0a,
    FORMAT_S4 = 0x0b,
    FORMAT_S8 = 0x0c,
    RELATIVE_NONE = 0x00,
    RELATIVE_PC = 0x10,
    INDEX_ENCODING = 0x3b, /* data-relative, 4 bytes, signed */
};

enum {
    DW_CFA_nop = 0x00,
    DW_CFA_set_loc = 0x01,
    DW_CFA_advance_loc1 = 0x02,
    DW_CFA_advance_loc2 = 0x03,
    DW_CFA_advance_loc4 = 0x04,
    DW_CFA_offset_extended = 0x05,
    DW_CFA_restore_extended = 0x06,
    DW_CFA_undefined = 0x07,
    DW_CFA_same_value = 0x08,
    DW_CFA_register = 0x09,
    DW_CFA_remember_state = 0x0a,
    DW_CFA_restore_state = 0x0b,
    DW_CFA_def_cfa = 0x0c,
    DW_CFA_def_cfa_register = 0x0d,
    DW_CFA_def_cfa_offset = 0x0e,
    DW_CFA_def_cfa_expression = 0x0f,
    DW_CFA_expression = 0x10,
    DW_CFA_offset_extended_sf = 0x11,
    DW_CFA_def_cfa_sf = 0x12,
    DW_CFA_def_cfa_offset_sf = 0x13,
    DW_CFA_val_offset = 0x14,
    DW_CFA_val_offset_sf = 0x15,
    DW_CFA_val_expression = 0x16,
    DW_CFA_AARCH64_negate_ra_state = 0x2d,
    DW_CFA_GNU_args_size = 0x2e,
    DW_CFA_GNU_negative_offset_extended = 0x2f,
    DW_CFA_advance_loc = 0x40, /* these three keep an operand in the low six bits */
    DW_CFA_offset = 0x80,
    DW_CFA_restore = 0xc0,
};

enum {
    DW_OP_deref = 0x06,
    DW_OP_and = 0x1a,
    DW_OP_plus = 0x22,
    DW_OP_plus_uconst = 0x23,
    DW_OP_shl = 0x24,
    DW_OP_ge = 0x2a,
    DW_OP_lit0 = 0x30,
    DW_OP_breg0 = 0x70,
};

/* Bytes being read, front to back. A read past the end gives zero and marks the reader. */
struct reader {
    const uint8_t *at, *end;
    uint64_t address; /* of `at` when it was memory */
    bool failed;
};

static struct reader reader_of(const struct cfi_section *section)
{
    return (struct reader){.at = section->bytes,
                           .end = section->bytes + section->size,
                           .address = section->address};
}

static struct cfi_section rest_of(const struct reader *reader)
{
    return (struct cfi_section){.bytes = reader->at,
                                .size = (size_t)(reader->end - reader->at),
                                .address = reader->address};
}

static const uint8_t *take(struct reader *reader, uint64_t count)
{
    const uint8_t *at = reader->at;
    if (reader->failed || count > (uint64_t)(reader->end - at)) {
        reader->failed = true;
        return NULL;
    }
    reader->at += count;
    reader->address += count;
    return at;
}

/* A little-endian number of `count` bytes. */
static uint64_t take_fixed(struct reader *reader, size_t count)
{
    uint64_t value = 0;
    const uint8_t *at = take(reader, count);
    if (at)
        memcpy(&value, at, count);
    return value;
}

static uint8_t take_byte(struct reader *reader)
{
    return (uint8_t)take_fixed(reader, 1);
}

/* A LEB128 number; *bits is how many bits it had. */
static uint64_t take_leb(struct reader *reader, unsigned *bits)
{
    uint64_t value = 0;
    uint8_t byte;
    *bits = 0;
    do {
        byte = take_byte(reader);
        if (*bits < 64)
            value |= (uint64_t)(byte & 0x7f) << *bits;
        *bits += 7;
    } while (byte & 0x80);
    return value;
}

static uint64_t take_uleb(struct reader *reader)
{
    unsigned bits;
    return take_leb(reader, &bits);
}

static int64_t take_sleb(struct reader *reader)
{
    unsigned bits;
    uint64_t value = take_leb(reader, &bits);
    if (bits < 64 && bits > 0 && (value >> (bits - 1)) & 1)
        value |= ~(uint64_t)0 << bits;
    return (int64_t)value;
}

/* The part of an encoded address that is stored. */
static uint64_t take_format(struct reader *reader, uint8_t format)
{
    switch (format) {
    case FORMAT_ABSOLUTE:
    case FORMAT_U8:
    case FORMAT_S8:
        return take_fixed(reader, 8);
    case FORMAT_ULEB:
        return take_uleb(reader);
    case FORMAT_SLEB:
        return (uint64_t)take_sleb(reader);
    case FORMAT_U2:
        return take_fixed(reader, 2);
    case FORMAT_S2:
        return (uint64_t)(int16_t)take_fixed(reader, 2);
    case FORMAT_U4:
        return take_fixed(reader, 4);
    case FORMAT_S4:
        return (uint64_t)(int32_t)take_fixed(reader, 4);
    default:
        reader->failed = true;
        return 0;
    }
}

static uint64_t take_address(struct reader *reader, uint8_t encoding)
{
    uint64_t origin = reader->address;
    uint64_t value = take_format(reader, encoding & 0x0f);
    switch (encoding & 0xf0) {
    case RELATIVE_NONE:
        return value;
    case RELATIVE_PC:
        return value + origin;
    default: /* text-, data-, function-relative and indirect: no linker writes these here */
        reader->failed = true;
        return 0;
    }
}

/* One length-prefixed record of .eh_frame. */
struct frame_record {
    struct reader body; /* after the id field */
    uint64_t id;        /* 0: common information; else the way back to it */
    size_t id_offset;   /* of the id field in the section */
    size_t next;        /* offset of the next record */
};

static bool record_read(const struct cfi_section *section, size_t offset,
                        struct frame_record *record)
{
    struct reader reader = reader_of(section);
    take(&reader, offset);
    uint64_t length = take_fixed(&reader, 4);
    if (length == 0xffffffff)
        length = take_fixed(&reader, 8);
    if (reader.failed || length < 4 || length > (uint64_t)(reader.end - reader.at))
        return false;
    reader.end = reader.at + length;
    record->next = (size_t)(reader.end - section->bytes);
    record->id_offset = (size_t)(reader.at - section->bytes);
    record->id = take_fixed(&reader, 4);
    record->body = reader;
    return true;
}

bool cfi_next(const struct cfi_section *section, size_t *offset, bool *is_entry)
{
    struct frame_record record;
    if (!record_read(section, *offset, &record))
        return false;
    *is_entry = record.id != 0;
    *offset = record.next;
    return true;
}

/* The letters after 'z' of an augmentation string, and their data. */
static bool read_augmentation(const char *letters, struct reader *data, struct cfi_entry *entry)
{
    for (; *letters; letters++) {
        switch (*letters) {
        case 'R':
            entry->encoding = take_byte(data);
            break;
        case 'P': {
            uint8_t encoding = take_byte(data);
            take_format(data, encoding & 0x0f);
            break;
        }
        case 'L':
            take_byte(data);
            break;
        case 'S':
            entry->signal = true;
            break;
        case 'B': /* return addresses are signed with the second key: all are stripped */
        case 'G':
            break;
        default:
            return false;
        }
    }
    return !data->failed;
}

/* Reads a common information entry into the fields of `entry` that it decides. */
static bool read_common(const struct cfi_section *section, size_t offset,
                        struct cfi_entry *entry, bool *augmented)
{
    struct frame_record record;
    if (!record_read(section, offset, &record) || record.id != 0)
        return false;
    struct reader *body = &record.body;
    uint8_t version = take_byte(body);
    size_t room = (size_t)(body->end - body->at);
    const char *augmentation = (const char *)body->at;
    size_t length = room ? strnlen(augmentation, room) : 0;
    if ((version != 1 && version != 3) || length == room)
        return false;
    take(body, length + 1);
    entry->code_align = take_uleb(body);
    entry->data_align = take_sleb(body);
    uint64_t ra = version == 1 ? take_byte(body) : take_uleb(body);
    if (ra != ARCH_DWARF_RA)
        return false;
    *augmented = augmentation[0] == 'z';
    if (*augmented) {
        uint64_t size = take_uleb(body);
        struct reader data = *body;
        if (!take(body, size) && size)
            return false;
        data.end = body->at;
        if (!read_augmentation(augmentation + 1, &data, entry))
            return false;
    } else if (augmentation[0] != '\0') {
        return false;
    }
    entry->initial = rest_of(body);
    return !body->failed;
}

/* False when there is no frame description at the offset. */
static bool read_description(const struct cfi_section *section, size_t offset,
                             struct frame_record *record)
{
    return record_read(section, offset, record) && record->id != 0;
}

static uint64_t common_address(const struct cfi_section *section,
                               const struct frame_record *record)
{
    return section->address + record->id_offset - record->id;
}

uint64_t cfi_common_address(const struct cfi_section *section, size_t offset)
{
    struct frame_record record;
    return read_description(section, offset, &record) ? common_address(section, &record) : 0;
}

int cfi_entry_read(const struct cfi_section *section, size_t offset,
                   const struct cfi_section *common, struct cfi_entry *entry)
{
    struct frame_record record;
    bool augmented;
    *entry = (struct cfi_entry){.encoding = FORMAT_ABSOLUTE};
    if (!read_description(section, offset, &record))
        return -EINVAL;
    uint64_t common_offset = common_address(section, &record) - common->address;
    if (common_offset >= common->size ||
        !read_common(common, (size_t)common_offset, entry, &augmented))
        return -EINVAL;
    struct reader *body = &record.body;
    entry->start = take_address(body, entry->encoding);
    uint64_t length = take_format(body, entry->encoding & 0x0f);
    if (augmented) {
        uint64_t size = take_uleb(body);
        take(body, size);
    }
    if (body->failed || length == 0 || entry->start + length < entry->start)
        return -EINVAL;
    entry->limit = entry->start + length;
    entry->instructions = rest_of(body);
    return 0;
}

/* ---- instructions ---- */

/* Rules that DW_CFA_remember_state may stack; compilers nest one or two. */
enum { REMEMBERED = 8 };

struct machine {
    const struct cfi_entry *entry;
    struct unwind_rule rule;
    struct unwind_rule initial; /* what DW_CFA_restore goes back to */
    struct unwind_rule remembered[REMEMBERED];
    size_t depth;
    uint64_t pc;
    void (*row)(void *closure, uint64_t pc, const struct unwind_rule *rule);
    void *closure;
};

static struct saved_register *slot(struct unwind_rule *rule, uint64_t reg)
{
    switch (reg) {
    case ARCH_DWARF_RA:
        return &rule->ra;
    case ARCH_DWARF_SP:
        return &rule->sp;
    case ARCH_DWARF_FP:
        return &rule->fp;
    case ARCH_DWARF_BASE:
        return &rule->base;
    default:
        return NULL;
    }
}

static void save(struct machine *machine, uint64_t reg, enum saved_kind kind, uint64_t where,
                 int64_t offset)
{
    struct saved_register *saved = slot(&machine->rule, reg);
    if (!saved)
        return;
    if (offset != (int16_t)offset || where > UINT8_MAX)
        *saved = (struct saved_register){.kind = SAVED_UNKNOWN};
    else
        *saved = (struct saved_register){
            .kind = (uint8_t)kind, .reg = (uint8_t)where, .offset = (int16_t)offset};
}

/* An operand that counts in units of the data alignment. What overflows fits no field. */
static int64_t factor(const struct machine *machine, int64_t value)
{
    int64_t offset;
    return __builtin_mul_overflow(value, machine->entry->data_align, &offset) ? INT64_MAX
                                                                              : offset;
}

static void save_at_cfa(struct machine *machine, uint64_t reg, int64_t factored)
{
    save(machine, reg, SAVED_AT_CFA, 0, factor(machine, factored));
}

static void restore(struct machine *machine, uint64_t reg)
{
    struct saved_register *saved = slot(&machine->rule, reg);
    if (saved)
        *saved = *slot(&machine->initial, reg);
}

static void define_cfa(struct unwind_rule *rule, enum cfa_kind kind, uint64_t reg,
                       int64_t offset, int64_t extra)
{
    bool fits = reg <= UINT8_MAX && offset == (int32_t)offset && extra == (int16_t)extra;
    rule->cfa_kind = (uint8_t)(fits ? kind : CFA_BEYOND);
    rule->cfa_reg = fits ? (uint8_t)reg : 0;
    rule->cfa_offset = fits ? (int32_t)offset : 0;
    rule->cfa_extra = fits ? (int16_t)extra : 0;
}

static struct reader take_block(struct reader *reader)
{
    uint64_t size = take_uleb(reader);
    struct reader block = *reader;
    if (!take(reader, size))
        block.end = block.at;
    else
        block.end = reader->at;
    return block;
}

/* DW_OP_breg<reg> <offset>, with which every expression that we know begins. */
static bool take_breg(struct reader *expression, uint64_t *reg, int64_t *offset)
{
    uint8_t op = take_byte(expression);
    *reg = (uint64_t)op - DW_OP_breg0;
    *offset = take_sleb(expression);
    return !expression->failed && op >= DW_OP_breg0 && op < DW_OP_breg0 + 32;
}

/* The rest of the expression that linkers write for .plt:
 * breg<pc> 0; lit15; and; lit<n>; ge; lit3; shl; plus. */
static bool take_plt(struct reader *expression, int64_t *threshold)
{
    uint64_t reg;
    int64_t offset;
    if (!take_breg(expression, &reg, &offset) || reg != ARCH_DWARF_RA || offset != 0)
        return false;
    const uint8_t *ops = take(expression, 7);
    static const uint8_t tail[] = {DW_OP_ge, DW_OP_lit0 + 3, DW_OP_shl, DW_OP_plus};
    if (!ops || ops[0] != DW_OP_lit0 + 15 || ops[1] != DW_OP_and || ops[2] < DW_OP_lit0 ||
        ops[2] > DW_OP_lit0 + 15 || memcmp(ops + 3, tail, sizeof(tail)) != 0)
        return false;
    *threshold = ops[2] - DW_OP_lit0;
    return expression->at == expression->end;
}

static void define_cfa_by_expression(struct unwind_rule *rule, struct reader expression)
{
    uint64_t reg;
    int64_t offset;
    int64_t extra = 0;
    define_cfa(rule, CFA_BEYOND, 0, 0, 0);
    if (!take_breg(&expression, &reg, &offset) || expression.at == expression.end)
        return;
    if (*expression.at != DW_OP_deref) {
        if (take_plt(&expression, &extra))
            define_cfa(rule, CFA_PLT, reg, offset, extra);
        return;
    }
    take_byte(&expression);
    if (expression.at != expression.end) {
        if (take_byte(&expression) != DW_OP_plus_uconst)
            return;
        extra = (int64_t)take_uleb(&expression);
    }
    if (!expression.failed && expression.at == expression.end)
        define_cfa(rule, CFA_DEREFERENCE, reg, offset, extra);
}

static void save_by_expression(struct machine *machine, uint64_t reg, struct reader expression)
{
    uint64_t where;
    int64_t offset;
    bool known = take_breg(&expression, &where, &offset) && expression.at == expression.end;
    if (known)
        save(machine, reg, SAVED_AT, where, offset);
    else
        save(machine, reg, SAVED_UNKNOWN, 0, 0);
}

static void emit(const struct machine *machine)
{
    if (!machine->row || machine->pc >= machine->entry->limit)
        return;
    struct unwind_rule rule = machine->rule;
    if (rule.ra.kind == SAVED_UNKNOWN || rule.cfa_kind == CFA_BEYOND)
        rule = (struct unwind_rule){.cfa_kind = CFA_BEYOND};
    if (machine->entry->signal)
        rule = (struct unwind_rule){.cfa_kind = CFA_SIGNAL};
    machine->row(machine->closure, machine->pc, &rule);
}

static void advance(struct machine *machine, uint64_t delta)
{
    uint64_t bytes;
    emit(machine);
    if (__builtin_mul_overflow(delta, machine->entry->code_align, &bytes) ||
        __builtin_add_overflow(machine->pc, bytes, &machine->pc))
        machine->pc = machine->entry->limit;
}

static void advance_to(struct machine *machine, uint64_t pc)
{
    emit(machine);
    machine->pc = pc < machine->pc ? machine->entry->limit : pc;
}

static bool remember(struct machine *machine)
{
    if (machine->depth == REMEMBERED)
        return false;
    machine->remembered[machine->depth++] = machine->rule;
    return true;
}

static bool recall(struct machine *machine)
{
    if (machine->depth == 0)
        return false;
    machine->rule = machine->remembered[--machine->depth];
    return true;
}

/* The instructions about the CFA. False when `op` is none. */
static bool run_cfa(struct machine *machine, uint8_t op, struct reader *in)
{
    struct unwind_rule *rule = &machine->rule;
    uint64_t reg;
    switch (op) {
    case DW_CFA_def_cfa:
        reg = take_uleb(in);
        define_cfa(rule, CFA_REGISTER, reg, (int64_t)take_uleb(in), 0);
        return true;
    case DW_CFA_def_cfa_sf:
        reg = take_uleb(in);
        define_cfa(rule, CFA_REGISTER, reg, factor(machine, take_sleb(in)), 0);
        return true;
    case DW_CFA_def_cfa_register:
        define_cfa(rule, rule->cfa_kind, take_uleb(in), rule->cfa_offset, 0);
        return true;
    case DW_CFA_def_cfa_offset:
        define_cfa(rule, rule->cfa_kind, rule->cfa_reg, (int64_t)take_uleb(in), 0);
        return true;
    case DW_CFA_def_cfa_offset_sf:
        define_cfa(rule, rule->cfa_kind, rule->cfa_reg, factor(machine, take_sleb(in)), 0);
        return true;
    case DW_CFA_def_cfa_expression:
        define_cfa_by_expression(rule, take_block(in));
        return true;
    default:
        return false;
    }
}

/* The instructions about one register. False when `op` is none. */
static bool run_register(struct machine *machine, uint8_t op, struct reader *in)
{
    struct reader before = *in;
    uint64_t reg = take_uleb(in);
    switch (op) {
    case DW_CFA_offset_extended:
        save_at_cfa(machine, reg, (int64_t)take_uleb(in));
        return true;
    case DW_CFA_offset_extended_sf:
        save_at_cfa(machine, reg, take_sleb(in));
        return true;
    case DW_CFA_GNU_negative_offset_extended:
        save_at_cfa(machine, reg, -(int64_t)(take_uleb(in) & INT32_MAX));
        return true;
    case DW_CFA_restore_extended:
        restore(machine, reg);
        return true;
    case DW_CFA_undefined:
        save(machine, reg, SAVED_LOST, 0, 0);
        return true;
    case DW_CFA_same_value:
        save(machine, reg, SAVED_SAME, 0, 0);
        return true;
    case DW_CFA_register:
        save(machine, reg, SAVED_REGISTER, take_uleb(in), 0);
        return true;
    case DW_CFA_expression:
        save_by_expression(machine, reg, take_block(in));
        return true;
    case DW_CFA_val_expression: /* no compiler writes values for the registers we follow */
        take_block(in);
        save(machine, reg, SAVED_UNKNOWN, 0, 0);
        return true;
    case DW_CFA_val_offset:
    case DW_CFA_val_offset_sf:
        take_uleb(in);
        save(machine, reg, SAVED_UNKNOWN, 0, 0);
        return true;
    default:
        *in = before;
        return false;
    }
}

/* The remaining instructions. False when `op` is unknown or cannot be obeyed. */
static bool run_other(struct machine *machine, uint8_t op, struct reader *in)
{
    switch (op) {
    case DW_CFA_nop:
    case DW_CFA_AARCH64_negate_ra_state:
        return true;
    case DW_CFA_set_loc:
        advance_to(machine, take_address(in, machine->entry->encoding));
        return true;
    case DW_CFA_advance_loc1:
        advance(machine, take_fixed(in, 1));
        return true;
    case DW_CFA_advance_loc2:
        advance(machine, take_fixed(in, 2));
        return true;
    case DW_CFA_advance_loc4:
        advance(machine, take_fixed(in, 4));
        return true;
    case DW_CFA_remember_state:
        return remember(machine);
    case DW_CFA_restore_state:
        return recall(machine);
    case DW_CFA_GNU_args_size:
        take_uleb(in);
        return true;
    default:
        return false;
    }
}

/* Runs instructions to their end. False when one made no sense: from there on no rule holds. */
static bool run(struct machine *machine, const struct cfi_section *instructions)
{
    struct reader in = reader_of(instructions);
    while (in.at < in.end && !in.failed && machine->pc < machine->entry->limit) {
        uint8_t op = take_byte(&in);
        uint8_t operand = op & 0x3f;
        switch (op & 0xc0) {
        case DW_CFA_advance_loc:
            advance(machine, operand);
            break;
        case DW_CFA_offset:
            save_at_cfa(machine, operand, (int64_t)take_uleb(&in));
            break;
        case DW_CFA_restore:
            restore(machine, operand);
            break;
        default:
            if (!run_cfa(machine, op, &in) && !run_register(machine, op, &in) &&
                !run_other(machine, op, &in))
                return false;
        }
    }
    return !in.failed;
}

void cfi_entry_rows(const struct cfi_entry *entry,
                    void (*row)(void *closure, uint64_t pc, const struct unwind_rule *rule),
                    void *closure)
{
    struct machine machine = {.entry = entry, .pc = entry->start};
    bool sound = run(&machine, &entry->initial);
    machine.pc = entry->start;
    machine.depth = 0;
    machine.initial = machine.rule;
    machine.row = row;
    machine.closure = closure;
    if (!sound || !run(&machine, &entry->instructions))
        machine.rule = (struct unwind_rule){.cfa_kind = CFA_NONE};
    emit(&machine);
}

/* ---- .eh_frame_hdr ---- */

int cfi_index_read(const struct cfi_section *section, uint64_t header, struct cfi_index *index)
{
    struct reader reader = reader_of(section);
    take(&reader, header - section->address);
    uint8_t version = take_byte(&reader);
    uint8_t frame_encoding = take_byte(&reader);
    uint8_t count_encoding = take_byte(&reader);
    uint8_t pair_encoding = take_byte(&reader);
    *index = (struct cfi_index){.base = header};
    index->eh_frame = take_address(&reader, frame_encoding);
    if (reader.failed || version != 1)
        return -EINVAL;
    if (count_encoding == ENCODING_OMIT || pair_encoding != INDEX_ENCODING)
        return 0;
    uint64_t count = take_address(&reader, count_encoding);
    if (reader.failed || count > UINT32_MAX)
        return 0;
    index->pairs = reader.address;
    index->count = count;
    return 0;
}
