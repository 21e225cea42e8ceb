/* Code that is read, and code that runs. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unwind/arch.h"
#include "unwind/straight.h"

#define READ(bytes, rule) straight_read((const uint8_t *)(bytes), sizeof(bytes) - 1, rule)

#if defined(__x86_64__)

/* CPython's trampolines: up to 3.13, and with a frame pointer. */
#define TRAMPOLINE "\x48\x83\xec\x08\xff\xd1\x48\x83\xc4\x08\xc3"
#define FRAMED "\xf3\x0f\x1e\xfa\x55\x48\x89\xe5\xff\xd1\x5d\xc3"

static void a_trampoline_is_left_wherever_it_is(void **state)
{
    (void)state;
    static const struct {
        size_t pc;
        int32_t cfa;
    } places[] = {{0, 8}, {4, 16}, {6, 16}, {10, 8}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct unwind_rule rule;
        const uint8_t *code = (const uint8_t *)TRAMPOLINE;
        assert_true(
            straight_read(code + places[i].pc, sizeof(TRAMPOLINE) - 1 - places[i].pc, &rule));
        assert_int_equal(rule.cfa_kind, CFA_REGISTER);
        assert_int_equal(rule.cfa_reg, ARCH_DWARF_SP);
        assert_int_equal(rule.cfa_offset, places[i].cfa);
        assert_int_equal(rule.ra.kind, SAVED_AT_CFA);
        assert_int_equal(rule.ra.offset, -8);
        assert_int_equal(rule.fp.kind, SAVED_SAME);
    }
}

static void the_frame_pointer_that_it_pushed_is_found(void **state)
{
    (void)state;
    struct unwind_rule rule;
    assert_true(READ(FRAMED, &rule)); /* not pushed yet */
    assert_int_equal(rule.cfa_offset, 8);
    assert_int_equal(rule.fp.kind, SAVED_SAME);
    assert_true(READ("\x5d\xc3", &rule)); /* back from its call */
    assert_int_equal(rule.cfa_offset, 16);
    assert_int_equal(rule.fp.kind, SAVED_AT_CFA);
    assert_int_equal(rule.fp.offset, -16);
    assert_true(READ("\x5b\x41\x5c\x5d\xc3", &rule)); /* pop %rbx, %r12, %rbp */
    assert_int_equal(rule.cfa_offset, 32);
    assert_int_equal(rule.fp.offset, -16);
}

static void what_is_no_straight_way_is_not_guessed(void **state)
{
    (void)state;
    struct unwind_rule rule;
    assert_false(READ("\x74\x02\x5d\xc3", &rule));     /* je */
    assert_false(READ("\xeb\x00\xc3", &rule));         /* jmp */
    assert_false(READ("\x48\x83\xc4", &rule));         /* cut */
    assert_false(READ("\x48\x83\xc4\x08", &rule));     /* no return */
    assert_false(READ("\x48\x83\xec\x08\xc3", &rule)); /* returns to what it has reserved */
    assert_false(READ("\xff\xe1", &rule));             /* jmp *%rcx */
    assert_false(READ("\xc9\xc3", &rule));             /* leave */
    assert_false(READ("", &rule));
}

static void a_call_by_a_pointer_is_told_from_what_is_none(void **state)
{
    (void)state;
    static const uint8_t calls[][CALL_MAX] = {
        {0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xd0}, /* *%rax */
        {0x90, 0x90, 0x90, 0x90, 0x41, 0xff, 0xd4}, /* *%r12 */
        {0x90, 0xff, 0x15, 1, 2, 3, 4},             /* *offset(%rip) */
        {0x90, 0x90, 0x90, 0x90, 0xff, 0x50, 0x08}, /* *8(%rax) */
        {0x90, 0xff, 0x90, 1, 0, 0, 0},             /* *1(%rax) */
        {0xff, 0x94, 0x24, 1, 0, 0, 0},             /* *1(%rsp) */
        {0x90, 0x90, 0x90, 0xff, 0x54, 0x24, 8},    /* *8(%rsp) */
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        assert_true(straight_ends_in_indirect_call(calls[i]));
    static const uint8_t others[][CALL_MAX] = {
        {0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90},
        {0x90, 0x90, 0xe8, 0, 0, 0, 0},             /* call a function */
        {0x90, 0x90, 0xe9, 0, 0, 0, 0},             /* jmp */
        {0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xe0}, /* jmp *%rax */
        {0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xc3},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(straight_ends_in_indirect_call(others[i]));
}

static void code_at_the_end_of_its_memory_is_read_and_code_that_has_gone_is_not(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *code =
        mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(code, MAP_FAILED);
    uint8_t *last = code + page - 5;
    memcpy(last, "\x48\x83\xc4\x08\xc3", 5);
    munmap(code + page, page);
    struct unwind_rule rule;
    assert_true(straight_rule((uintptr_t)last, &rule));
    assert_int_equal(rule.cfa_offset, 16);
    munmap(code, page);
    assert_false(straight_rule((uintptr_t)last, &rule));
}

#else

static void what_is_no_straight_way_is_not_guessed(void **state)
{
    (void)state;
    struct unwind_rule rule;
    assert_false(READ("\xc0\x03\x5f\xd6", &rule)); /* ret, of another processor */
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_straight_way_is_not_guessed),
#if defined(__x86_64__)
        cmocka_unit_test(a_trampoline_is_left_wherever_it_is),
        cmocka_unit_test(the_frame_pointer_that_it_pushed_is_found),
        cmocka_unit_test(a_call_by_a_pointer_is_told_from_what_is_none),
        cmocka_unit_test(code_at_the_end_of_its_memory_is_read_and_code_that_has_gone_is_not),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
