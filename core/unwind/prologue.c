#include "unwind/prologue.h"

#include <string.h>

#if defined(__x86_64__)

enum { RBX = 3, RBP = 6, R12 = 12 }; /* DWARF's numbers */

/* DWARF's instructions. */
enum { ADVANCE = 0x40, OFFSET = 0x80, DEF_CFA_REGISTER = 0x0d, DEF_CFA_OFFSET = 0x0e };

struct prologue {
    const uint8_t *code;
    size_t size, at;
    uint8_t *says;
    size_t said;
    uint32_t depth; /* from the stack pointer to the CFA */
    bool framed;    /* the CFA is told from the frame pointer */
};

static void say(struct prologue *prologue, uint8_t byte)
{
    prologue->says[prologue->said++] = byte;
}

static void say_number(struct prologue *prologue, uint32_t number)
{
    for (; number >= 0x80; number >>= 7)
        say(prologue, (uint8_t)(number | 0x80));
    say(prologue, (uint8_t)number);
}

static bool begins(const struct prologue *prologue, const char *bytes, size_t size)
{
    return prologue->size - prologue->at >= size &&
           memcmp(prologue->code + prologue->at, bytes, size) == 0;
}

/* After an instruction, what it has changed holds. */
static bool pass(struct prologue *prologue, size_t size)
{
    prologue->at += size;
    say(prologue, (uint8_t)(ADVANCE | size));
    return true;
}

static bool deepen(struct prologue *prologue, size_t size, uint32_t bytes)
{
    pass(prologue, size);
    prologue->depth += bytes;
    if (!prologue->framed) {
        say(prologue, DEF_CFA_OFFSET);
        say_number(prologue, prologue->depth);
    }
    return true;
}

static bool push(struct prologue *prologue)
{
    static const uint8_t numbers[] = {0, 2, 1, RBX, 7, RBP, 4, 5};
    bool high = begins(prologue, "\x41", 1);
    size_t size = high ? 2 : 1;
    if (prologue->size - prologue->at < size)
        return false;
    uint8_t code = prologue->code[prologue->at + size - 1];
    if (code < 0x50 || code > 0x57)
        return false;
    uint8_t number = high ? (uint8_t)(8 + code - 0x50) : numbers[code - 0x50];
    deepen(prologue, size, 8);
    if (number == RBX || number == RBP || number >= R12) {
        say(prologue, OFFSET | number);
        say_number(prologue, prologue->depth / 8);
    }
    return true;
}

static bool move_stack(struct prologue *prologue)
{
    const uint8_t *code = prologue->code + prologue->at;
    int32_t bytes;
    if (begins(prologue, "\x48\x83\xec", 3) && prologue->size - prologue->at >= 4 &&
        code[3] < 0x80)
        return deepen(prologue, 4, code[3]); /* sub $imm8, %rsp */
    if (!begins(prologue, "\x48\x81\xec", 3) || prologue->size - prologue->at < 7)
        return false;
    memcpy(&bytes, code + 3, sizeof bytes);
    return bytes > 0 && bytes < 1 << 24 && deepen(prologue, 7, (uint32_t)bytes);
}

static bool keep_frame(struct prologue *prologue)
{
    if (!begins(prologue, "\x48\x89\xe5", 3)) /* mov %rsp, %rbp */
        return false;
    pass(prologue, 3);
    prologue->framed = true;
    say(prologue, DEF_CFA_REGISTER);
    say(prologue, RBP);
    return true;
}

static bool step(struct prologue *prologue)
{
    if (begins(prologue, "\xf3\x0f\x1e\xfa", 4)) /* endbr64 */
        return pass(prologue, 4);
    return push(prologue) || move_stack(prologue) || keep_frame(prologue);
}

bool prologue_read(uintptr_t start, uintptr_t limit, const uint8_t *code, size_t size,
                   uint8_t *says, struct cfi_entry *entry)
{
    /* At first the CFA is rsp + 8, and the return address lies at the CFA - 8. */
    static const uint8_t first[] = {0x0c, 7, 8, OFFSET | 16, 1};
    struct prologue prologue = {
        .code = code, .size = size, .says = says, .depth = sizeof(uint64_t)};
    while (prologue.at < size && step(&prologue))
        ;
    *entry = (struct cfi_entry){.start = start,
                                .limit = limit,
                                .instructions = {.bytes = says, .size = prologue.said},
                                .initial = {.bytes = first, .size = sizeof first},
                                .code_align = 1,
                                .data_align = -(int64_t)sizeof(uint64_t)};
    return size > 0;
}

#else

bool prologue_read(uintptr_t start, uintptr_t limit, const uint8_t *code, size_t size,
                   uint8_t *says, struct cfi_entry *entry)
{
    (void)start, (void)limit, (void)code, (void)size, (void)says, (void)entry;
    return false;
}

#endif
