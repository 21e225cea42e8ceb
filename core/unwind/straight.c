/* Handler code: runs inside the sampling signal. No allocation, locks, stdio or errno. */
#include "unwind/straight.h"

#include <string.h>

#include "cprof/readable.h"
#include "unwind/arch.h"

#if defined(__x86_64__)

/* The stack as the code has changed it since the pc. */
struct way {
    const uint8_t *code;
    size_t left;
    int32_t popped;   /* bytes, more than were pushed */
    int32_t saved_fp; /* where the frame pointer was popped from, if it was: from the stack
                         pointer at the pc on */
    bool pops_fp;
};

static bool begins(const struct way *way, const char *bytes, size_t size)
{
    return way->left >= size && memcmp(way->code, bytes, size) == 0;
}

static bool skip(struct way *way, size_t size)
{
    way->code += size;
    way->left -= size;
    return true;
}

/* Skips the instruction with `size` bytes before its immediate operand of one byte, if there is
 * all of it. */
static bool move_stack(struct way *way, size_t size, int sign)
{
    if (way->left <= size)
        return false;
    way->popped += sign * (int8_t)way->code[size];
    return skip(way, size + 1);
}

/* push and pop of the frame pointer, or of a register that callers do not need to be followed.
 */
static bool push_or_pop(struct way *way)
{
    size_t prefix = begins(way, "\x41", 1);
    if (way->left <= prefix)
        return false;
    uint8_t code = way->code[prefix];
    bool is_fp = prefix == 0 && (code & 7) == 5;
    if (code >= 0x50 && code <= 0x57) {
        way->popped -= 8;
    } else if (code >= 0x58 && code <= 0x5f) {
        if (is_fp) {
            way->saved_fp = way->popped;
            way->pops_fp = true;
        }
        way->popped += 8;
    } else {
        return false;
    }
    return skip(way, prefix + 1);
}

static bool step(struct way *way)
{
    if (begins(way, "\xf3\x0f\x1e\xfa", 4)) /* endbr64 */
        return skip(way, 4);
    if (begins(way, "\x48\x83\xc4", 3)) /* add $imm8, %rsp */
        return move_stack(way, 3, 1);
    if (begins(way, "\x48\x83\xec", 3)) /* sub $imm8, %rsp */
        return move_stack(way, 3, -1);
    if (begins(way, "\x48\x89\xe5", 3)) /* mov %rsp, %rbp */
        return skip(way, 3);
    if (way->left >= 2 && way->code[0] == 0xff && (way->code[1] & 0xf8) == 0xd0) /* call *reg */
        return skip(way, 2);
    return push_or_pop(way);
}

bool straight_read(const uint8_t *code, size_t size, struct unwind_rule *rule)
{
    struct way way = {.code = code, .left = size};
    while (!begins(&way, "\xc3", 1)) /* ret */
        if (!step(&way))
            return false;
    if (way.popped < 0)
        return false;
    int32_t cfa = way.popped + 8;
    *rule = (struct unwind_rule){.cfa_kind = CFA_REGISTER,
                                 .cfa_reg = ARCH_DWARF_SP,
                                 .cfa_offset = cfa,
                                 .ra = {.kind = SAVED_AT_CFA, .offset = -8}};
    /* Popped from what was pushed since the pc, it is what it was. */
    if (way.pops_fp && way.saved_fp >= 0)
        rule->fp = (struct saved_register){.kind = SAVED_AT_CFA,
                                           .offset = (int16_t)(way.saved_fp - cfa)};
    return true;
}

/* call *operand, with so many bytes from its opcode on: the operand's first byte says how many.
 */
static bool is_indirect_call(const uint8_t *code, size_t size)
{
    if (code[0] != 0xff || (code[1] & 0x38) != 0x10)
        return false;
    unsigned mode = code[1] >> 6, base = code[1] & 7;
    size_t length = 2;
    if (mode != 3 && base == 4)
        length++;
    if (mode == 1)
        length++;
    else if (mode == 2 || (mode == 0 && base == 5))
        length += 4;
    return length == size;
}

bool straight_ends_in_indirect_call(const uint8_t code[CALL_MAX])
{
    for (size_t size = 2; size <= CALL_MAX; size++)
        if (is_indirect_call(code + CALL_MAX - size, size))
            return true;
    return false;
}

#else

/* blr, and blraa and its like, which check a signed address. */
static bool is_branch_by_register(uint32_t code)
{
    return (code & 0xfffffc1f) == 0xd63f0000 || (code & 0xfefff800) == 0xd63f0800;
}

bool straight_ends_in_indirect_call(const uint8_t code[CALL_MAX])
{
    uint32_t last;
    memcpy(&last, code + CALL_MAX - sizeof last, sizeof last);
    return is_branch_by_register(last);
}

bool straight_read(const uint8_t *code, size_t size, struct unwind_rule *rule)
{
    (void)code, (void)size, (void)rule;
    return false;
}

#endif

/* Less than wanted where the mapping ends: system calls read up to there. */
static size_t fetch_code(uint8_t *to, uintptr_t from, size_t size)
{
    /* In two pieces, as each is read whole or not at all. */
    size_t first = 4096 - from % 4096 < size ? 4096 - from % 4096 : size;
    struct iovec remote[] = {{.iov_base = (void *)from, .iov_len = first},
                             {.iov_base = (void *)(from + first), .iov_len = size - first}};
    long got = cprof_read_pieces(to, size, remote, first < size ? 2 : 1);
    return got > 0 ? (size_t)got : 0;
}

bool straight_follows_indirect_call(uintptr_t pc)
{
    uint8_t code[CALL_MAX];
    return pc > CALL_MAX && fetch_code(code, pc - CALL_MAX, sizeof code) == sizeof code &&
           straight_ends_in_indirect_call(code);
}

/* ---- calls ---- */

/* What a slot of the linker's table of addresses holds; 0: it can't be read. */
static uintptr_t slot_at(uintptr_t slot)
{
    uintptr_t target;
    return cprof_read_all(&target, slot, sizeof target) ? target : 0;
}

static bool in_range(const struct code_range *range, uintptr_t address)
{
    return address - range->start < range->limit - range->start;
}

#if defined(__x86_64__)

enum {
    JUMP_WITHIN = 256, /* bytes of code that jumps_to() looks at */
    THUNK = 16,        /* bytes of a function that does no more than jump to another one */
};

/* The number of four bytes that ends at `end`, which is an address of code and so what it is
 * relative to. */
static uintptr_t relative(const uint8_t *number, uintptr_t end)
{
    int32_t distance;
    memcpy(&distance, number, sizeof distance);
    return end + (uintptr_t)(intptr_t)distance;
}

/* Where a call of `target` goes to: through a stub of the linker's (.plt, .plt.sec), if it is
 * one. */
static uintptr_t behind_stub(uintptr_t target)
{
    uint8_t code[11];
    size_t at = 0;
    if (fetch_code(code, target, sizeof code) != sizeof code)
        return target;
    if (memcmp(code, "\xf3\x0f\x1e\xfa", 4) == 0) /* endbr64 */
        at += 4;
    at += code[at] == 0xf2;                       /* bnd */
    if (code[at] != 0xff || code[at + 1] != 0x25) /* jmp *number(%rip) */
        return target;
    return slot_at(relative(code + at + 2, target + at + 6));
}

/* Is there a jump into the range in the first bytes from `from` on? So compilers leave the
 * common part of a function for the rest of it, and others at their end; operators delete are
 * no more than a jump to free(). */
static bool jumps_to(uintptr_t from, const struct code_range *range)
{
    uint8_t code[JUMP_WITHIN];
    size_t size = fetch_code(code, from, sizeof code);
    for (size_t i = 0; i + 5 <= size; i++) {
        bool jump = code[i] == 0xe9 || (i > 0 && code[i - 1] == 0x0f && code[i] >> 4 == 8);
        uintptr_t to = jump ? relative(code + i + 1, from + i + 5) : 0;
        if (jump && (in_range(range, to) || (i < THUNK && in_range(range, behind_stub(to)))))
            return true;
    }
    return false;
}

static bool leads_to(uintptr_t target, const struct code_range *range)
{
    return !range || in_range(range, target) || jumps_to(target, range);
}

bool straight_follows_call_into(uintptr_t pc, const struct code_range *range)
{
    uint8_t code[CALL_MAX];
    if (pc <= CALL_MAX || fetch_code(code, pc - CALL_MAX, sizeof code) != sizeof code)
        return false;
    uintptr_t target = relative(code + CALL_MAX - 4, pc);
    bool direct = code[CALL_MAX - 5] == 0xe8;
    if (direct && ((range && in_range(range, target)) || leads_to(behind_stub(target), range)))
        return true;
    if (code[CALL_MAX - 6] == 0xff && code[CALL_MAX - 5] == 0x15) /* call *number(%rip) */
        return leads_to(slot_at(target), range);
    return straight_ends_in_indirect_call(code);
}

/* mov %eax, %edi, then within some bytes $SYS_exit and a system call. */
bool straight_exits(uintptr_t pc)
{
    uint8_t code[12];
    if (fetch_code(code, pc, sizeof code) != sizeof code || memcmp(code, "\x89\xc7", 2) != 0)
        return false;
    static const char *const exits[] = {"\x31\xc0\xb0\x3c\x0f\x05",      /* musl */
                                        "\xb8\x3c\x00\x00\x00\x0f\x05"}; /* glibc */
    return memcmp(code + 2, exits[0], 6) == 0 || memcmp(code + 2, exits[1], 7) == 0;
}

#elif defined(__aarch64__)

enum { INSTRUCTION = 4 };

static uintptr_t sign_extended(uint64_t value, unsigned bits)
{
    return (uintptr_t)((int64_t)(value << (64 - bits)) >> (64 - bits));
}

/* adrp x16, page; ldr x17, [x16, #offset]; …; br x17, perhaps after bti c: a stub of the
 * linker's. */
static uintptr_t behind_stub(uintptr_t target)
{
    uint32_t code[3];
    if (fetch_code((uint8_t *)code, target, sizeof code) != sizeof code)
        return target;
    size_t at = code[0] == 0xd503245f;
    if ((code[at] & 0x9f00001f) != 0x90000010 || (code[at + 1] & 0xffc003ff) != 0xf9400211)
        return target;
    uint64_t pages = (code[at] >> 5 & 0x7ffff) << 2 | (code[at] >> 29 & 3);
    uintptr_t page = (target + at * INSTRUCTION) & ~(uintptr_t)0xfff;
    return slot_at(page + (sign_extended(pages, 21) << 12) +
                   (code[at + 1] >> 10 & 0xfff) * sizeof(uintptr_t));
}

/* Where b or bl goes to. */
static uintptr_t branch_target(uint32_t code, uintptr_t at)
{
    return at + (sign_extended(code & 0x3ffffff, 26) << 2);
}

/* Is the function at `target` no more than a jump into the range? */
static bool jumps_to(uintptr_t target, const struct code_range *range)
{
    uint32_t code[2];
    if (fetch_code((uint8_t *)code, target, sizeof code) != sizeof code)
        return false;
    size_t at = code[0] == 0xd503245f; /* bti c */
    return code[at] >> 26 == 5 &&
           in_range(range, behind_stub(branch_target(code[at], target + at * INSTRUCTION)));
}

bool straight_follows_call_into(uintptr_t pc, const struct code_range *range)
{
    uint32_t call;
    uintptr_t at = pc - INSTRUCTION;
    if (pc % INSTRUCTION != 0 || fetch_code((uint8_t *)&call, at, sizeof call) != sizeof call)
        return false;
    if (is_branch_by_register(call))
        return true;
    if (call >> 26 != 0x25) /* bl */
        return false;
    uintptr_t stub = branch_target(call, at), target = behind_stub(stub);
    return !range || in_range(range, stub) || in_range(range, target) ||
           jumps_to(target, range);
}

/* mov x8, #SYS_exit; svc #0 */
bool straight_exits(uintptr_t pc)
{
    uint8_t code[8];
    return fetch_code(code, pc, sizeof code) == sizeof code &&
           memcmp(code, "\xa8\x0b\x80\xd2\x01\x00\x00\xd4", 8) == 0;
}

#endif

bool straight_follows_call_to(uintptr_t pc, uintptr_t function)
{
    const struct code_range range = {.start = function, .limit = function + 1};
    return straight_follows_call_into(pc, function != 0 ? &range : NULL);
}

bool straight_rule(uintptr_t pc, struct unwind_rule *rule)
{
    uint8_t code[STRAIGHT_MAX];
    size_t size = fetch_code(code, pc, sizeof code);
    return size > 0 && straight_read(code, size, rule);
}
