/* Names of the kernel's functions: lines of the file, and what lies where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "symbol/kallsyms.h"

static bool read_line(const char *text, struct kallsyms_line *line)
{
    return kallsyms_read(text, strlen(text), line);
}

static void lines_of_functions_are_read_and_no_others(void **state)
{
    (void)state;
    struct kallsyms_line line;
    assert_true(read_line("ffffffff81409dd0 T vfs_read", &line));
    assert_true(line.address == 0xffffffff81409dd0);
    assert_int_equal(line.name_length, strlen("vfs_read"));
    assert_int_equal(line.module_length, 0);
    assert_true(read_line("ffffffffc0a81d30 t nfs4_wait\t[nfsv4]", &line));
    assert_int_equal(line.name_length, strlen("nfs4_wait"));
    assert_int_equal(line.module_length, strlen("nfsv4"));
    assert_memory_equal(line.module, "nfsv4", 5);
    assert_true(read_line("ffffffffc0a81d30 t cut\t[nfsv4", &line));
    assert_int_equal(line.module_length, 0);
    static const char *const others[] = {
        "",
        "ffffffff81409dd0",
        "ffffffff81409dd0 T",
        "ffffffff81409dd0 T ",
        "ffffffff82409dd0 D jiffies",
        "0000000000000000 T vfs_read", /* hidden */
        "0000000000001000 T a_program_s",
        " T vfs_read",
        "zzzz T vfs_read",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(read_line(others[i], &line));
}

static void expect(struct kallsyms *kallsyms, uint64_t address, const char *name,
                   const char *module)
{
    const char *found, *of;
    assert_true(kallsyms_find(kallsyms, (uintptr_t)address, &found, &of));
    assert_string_equal(found, name);
    assert_string_equal(of, module);
}

static void an_address_lies_in_the_function_before_it(void **state)
{
    (void)state;
    static const char text[] = "ffffffffc0001000 t of_a_module\t[nfsv4]\n"
                               "ffffffff81000000 T first\n"
                               "ffffffff81000000 T its_alias\n"
                               "ffffffff81000100 t second\n"
                               "ffffffff81000200 T unfin";
    struct budget budget;
    budget_init(&budget, 0);
    struct kallsyms kallsyms = {.budget = &budget, .read = true};
    size_t taken = kallsyms_add(&kallsyms, text, sizeof text - 1);
    assert_string_equal(text + taken, "ffffffff81000200 T unfin");
    kallsyms_sort(&kallsyms);
    const char *name, *module;
    assert_false(kallsyms_find(&kallsyms, (uintptr_t)0xffffffff80ffffff, &name, &module));
    expect(&kallsyms, 0xffffffff81000000, "first", "");
    expect(&kallsyms, 0xffffffff810000ff, "first", "");
    expect(&kallsyms, 0xffffffff81000100, "second", "");
    expect(&kallsyms, 0xffffffff81000250, "second", "");
    expect(&kallsyms, 0xffffffffc0001080, "of_a_module", "nfsv4");
    /* Too far behind the last of the kernel's own. */
    assert_false(kallsyms_find(&kallsyms, (uintptr_t)0xffffffffa0000000, &name, &module));
    kallsyms_free(&kallsyms);
    assert_int_equal(budget_used(&budget), 0);
}

/* The last name that had room would be taken for all that lies behind it. */
static void where_not_all_have_room_none_is_known(void **state)
{
    (void)state;
    struct budget budget;
    const char *name, *module;
    char line[64];
    budget_init(&budget, (size_t)2 << 20);
    struct kallsyms kallsyms = {.budget = &budget, .read = true};
    for (unsigned i = 0; i < 50000; i++) {
        int length =
            snprintf(line, sizeof line, "ffffffff%08x T function_%u\n", 0x81000000 + 16 * i, i);
        assert_int_equal(kallsyms_add(&kallsyms, line, (size_t)length), length);
        assert_true(budget_used(&budget) <= (size_t)512 << 10); /* a quarter */
        assert_int_equal(budget_used(&budget) == 0, i >= kallsyms.count);
    }
    assert_true(kallsyms.full);
    kallsyms_sort(&kallsyms);
    assert_false(kallsyms_find(&kallsyms, (uintptr_t)0xffffffff81000000, &name, &module));
    assert_false(kallsyms_find(&kallsyms, (uintptr_t)0xffffffff81080000, &name, &module));
    kallsyms_free(&kallsyms);
    assert_int_equal(budget_used(&budget), 0);
}

static void a_file_without_functions_knows_none(void **state)
{
    (void)state;
    struct kallsyms kallsyms = {.read = true};
    const char *name, *module;
    kallsyms_sort(&kallsyms);
    assert_false(kallsyms_find(&kallsyms, (uintptr_t)0xffffffff81000000, &name, &module));
    kallsyms_free(&kallsyms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_functions_are_read_and_no_others),
        cmocka_unit_test(an_address_lies_in_the_function_before_it),
        cmocka_unit_test(where_not_all_have_room_none_is_known),
        cmocka_unit_test(a_file_without_functions_knows_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
