/* The table of what V8 tells of its code: where it lies, what it is called, and its limits. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codes.h"

static bool add(struct codes *codes, uintptr_t start, size_t size, const char *text)
{
    const struct code code = {.start = start, .limit = start + size, .form = CODE_MACHINE};
    return codes_add(codes, &code, text, strlen(text));
}

/* The name of the function whose code holds the address; "" = nobody's. */
static const char *name_at(const struct codes *codes, uintptr_t address)
{
    static struct cprof_function function;
    const struct code *code = codes_find(codes, address);
    if (code == NULL || code->number == 0)
        return "";
    assert_true(codes_tell(codes, code->number, &function));
    return function.name;
}

static struct codes *open_codes(void)
{
    struct codes *codes = codes_open();
    assert_non_null(codes);
    return codes;
}

static void test_code_is_found_by_every_address_in_it(void **state)
{
    struct codes *codes = open_codes();
    (void)state;
    assert_true(add(codes, 0x1000, 0x100, "JS:~first /a.js:1:1"));
    assert_true(add(codes, 0x1100, 0x80, "JS:*second /a.js:2:1"));
    assert_string_equal(name_at(codes, 0xfff), "");
    assert_string_equal(name_at(codes, 0x1000), "first");
    assert_string_equal(name_at(codes, 0x10ff), "first");
    assert_string_equal(name_at(codes, 0x1100), "second");
    assert_string_equal(name_at(codes, 0x117f), "second");
    assert_string_equal(name_at(codes, 0x1180), "");
    codes_free(codes);
}

static void test_code_moves(void **state)
{
    struct codes *codes = open_codes();
    (void)state;
    add(codes, 0x1000, 0x100, "JS:~first /a.js:1:1");
    add(codes, 0x3000, 0x100, "JS:~dead /a.js:9:1");
    codes_move(codes, 0x1000, 0x30f0); /* onto what was collected */
    assert_string_equal(name_at(codes, 0x1000), "");
    assert_string_equal(name_at(codes, 0x30f0), "first");
    assert_string_equal(name_at(codes, 0x31ef), "first");
    assert_string_equal(name_at(codes, 0x3000), "");
    codes_move(codes, 0x31ef, 0x5000); /* where nothing begins */
    assert_string_equal(name_at(codes, 0x31ef), "first");
    codes_move(codes, 0x30f0, 0x30e0); /* over itself */
    assert_string_equal(name_at(codes, 0x30e0), "first");
    assert_string_equal(name_at(codes, 0x31e0), "");
    codes_free(codes);
}

static void test_new_code_takes_the_place_of_all_that_lay_there(void **state)
{
    struct codes *codes = open_codes();
    (void)state;
    for (uintptr_t i = 0; i < 8; i++)
        add(codes, 0x1000 + 0x10 * i, 0x10, "JS:~old /a.js:1:1");
    add(codes, 0x1018, 0x30, "JS:~new /a.js:2:1");
    const struct {
        uintptr_t address;
        const char *name;
    } wanted[] = {{0x100f, "old"}, {0x1010, ""},    {0x1018, "new"},
                  {0x1047, "new"}, {0x1048, ""},    {0x104f, ""},
                  {0x1050, "old"}, {0x107f, "old"}, {0x1080, ""}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        assert_string_equal(name_at(codes, wanted[i].address), wanted[i].name);
    codes_free(codes);
}

static void test_names_are_read_as_v8_spells_them(void **state)
{
    static const struct {
        const char *text, *name, *file;
        int line;
    } wanted[] = {
        {"LazyCompile:~Cart /tmp/a b.js:2", "Cart", "/tmp/a b.js", 2},
        {"JS:~get value /tmp/a.js:12:23", "get value", "/tmp/a.js", 12},
        {"JS:o+set value file:///tmp/a.mjs:5:3", "set value", "file:///tmp/a.mjs", 5},
        {"JS:+' /tmp/a.js:2:83", "(anonymous)", "/tmp/a.js", 2},
        {"JS:*'on node:events:9:1", "on", "node:events", 9},
        {"JS:~o /a.js:1:1", "o", "/a.js", 1},
        {"JS:^[Symbol.iterator] /a.js:1:1", "[Symbol.iterator]", "/a.js", 1},
        {"Function:~ :1", "(anonymous)", "", 1},
        {"JS:~anonymous :1:20", "anonymous", "", 1},
        {"JS:~get evalmachine.<anonymous>:1:1", "get", "evalmachine.<anonymous>", 1},
        {"Script:~ wasm://wasm/1f", "(anonymous)", "wasm://wasm/1f", 0},
        {"Script:~", "(anonymous)", "", 0},
        {"JS:", "(anonymous)", "", 0},
        {"JS:~f /a.js:999999999999999999999:1", "f", "/a.js", INT32_MAX},
    };
    struct codes *codes = open_codes();
    (void)state;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        struct cprof_function function;
        add(codes, 0x1000, 0x10, wanted[i].text);
        assert_true(codes_tell(codes, codes_find(codes, 0x1000)->number, &function));
        assert_string_equal(function.name, wanted[i].name);
        assert_string_equal(function.file, wanted[i].file);
        if (wanted[i].line != INT32_MAX)
            assert_int_equal(function.line, wanted[i].line);
    }
    codes_free(codes);
}

static void test_what_is_no_function_has_no_name(void **state)
{
    struct codes *codes = open_codes();
    (void)state;
    add(codes, 0x1000, 0x10, "RegExp:x(y+)z");
    add(codes, 0x2000, 0x10, "RegExp.> src: 'x(y+)z' flags: ''");
    add(codes, 0x3000, 0x10, "Stub:js-to-wasm");
    add(codes, 0x4000, 0x10, "");
    assert_int_equal(codes_find(codes, 0x1000)->form, CODE_REGEXP);
    assert_int_equal(codes_find(codes, 0x2000)->form, CODE_REGEXP);
    assert_int_equal(codes_find(codes, 0x3000)->form, CODE_MACHINE);
    for (uintptr_t at = 0x1000; at <= 0x4000; at += 0x1000)
        assert_int_equal(codes_find(codes, at)->number, 0);
    codes_free(codes);
}

static void test_the_codes_of_a_function_have_one_number(void **state)
{
    struct codes *codes = open_codes();
    (void)state;
    add(codes, 0x1000, 0x10, "JS:~f /a.js:1:1");
    add(codes, 0x2000, 0x10, "JS:^f /a.js:1:1");
    add(codes, 0x3000, 0x10, "JS:o*f /a.js:1:1");
    add(codes, 0x4000, 0x10, "JS:~f /a.js:1:2");
    uint32_t number = codes_find(codes, 0x1000)->number;
    assert_int_equal(codes_find(codes, 0x2000)->number, number);
    assert_int_equal(codes_find(codes, 0x3000)->number, number);
    assert_int_not_equal(codes_find(codes, 0x4000)->number, number);
    codes_free(codes);
}

/* Samples of code that is gone still wait to be named. */
static void test_a_name_outlives_its_code_by_two_drains(void **state)
{
    struct cprof_function function;
    struct codes *codes = open_codes();
    (void)state;
    add(codes, 0x1000, 0x10, "JS:~gone /a.js:1:1");
    add(codes, 0x2000, 0x10, "JS:~back /a.js:2:1");
    uint32_t gone = codes_find(codes, 0x1000)->number;
    uint32_t back = codes_find(codes, 0x2000)->number;
    add(codes, 0x1000, 0x10, "JS:~other /a.js:3:1");
    add(codes, 0x2000, 0x10, "JS:~other /a.js:3:1");
    codes_drained(codes);
    assert_true(codes_tell(codes, gone, &function));
    assert_string_equal(function.name, "gone");
    add(codes, 0x3000, 0x10, "JS:^back /a.js:2:1");
    codes_drained(codes);
    codes_drained(codes);
    assert_false(codes_tell(codes, gone, &function));
    assert_true(codes_tell(codes, back, &function));
    assert_int_equal(codes_find(codes, 0x3000)->number, back);
    codes_free(codes);
}

/* Far more functions than are kept, each with a name of its own; one is met again and again. */
static void test_a_full_table_forgets_what_is_not_met(void **state)
{
    enum { FUNCTIONS = 3 * NAMES_MAX };
    struct codes *codes = open_codes();
    char text[64];
    uint32_t rooms = 0, found = 0;
    (void)state;
    add(codes, 0x1000, 0x10, "JS:~hot /a.js:1:1");
    assert_false(codes_lost(codes));
    for (uintptr_t i = 0; i < FUNCTIONS; i++) {
        codes_find(codes, 0x1000)->met = true;
        snprintf(text, sizeof text, "JS:~f%zu /a.js:1:1", (size_t)i);
        rooms += add(codes, 0x100000 + 0x100 * i, 0x100, text);
        if (i % 1000 == 0)
            codes_drained(codes);
        found += codes_find(codes, 0x100000 + 0x100 * i) != NULL;
        assert_in_range(codes->kept.count, 0, NAMES_MAX);
        assert_in_range(codes->kept.bytes, 0, NAME_BYTES_MAX);
    }
    assert_in_range(rooms, FUNCTIONS - 100, FUNCTIONS - 1); /* told when it was full */
    assert_true(codes_lost(codes));
    assert_int_equal(found, FUNCTIONS);
    assert_string_equal(name_at(codes, 0x1000), "hot");
    codes_free(codes);
}

/* Nobody drains, and names are long. */
static void test_names_without_end_are_left_out(void **state)
{
    enum { FUNCTIONS = 20000 };
    struct codes *codes = open_codes();
    static char text[1024];
    (void)state;
    for (uintptr_t i = 0; i < FUNCTIONS; i++) {
        snprintf(text, sizeof text, "JS:~f%01000zu /a", (size_t)i);
        add(codes, 0x100000 + 0x100 * i, 0x100, text);
        assert_in_range(codes->kept.bytes, 0, NAME_BYTES_MAX);
    }
    assert_null(codes_find(codes, 0x100000 + 0x100 * (FUNCTIONS - 1)));
    for (int i = 0; i < 2; i++)
        codes_drained(codes);
    assert_true(add(codes, 0x1000, 0x10, "JS:~room /a.js:1:1"));
    assert_string_equal(name_at(codes, 0x1000), "room");
    codes_free(codes);
}

/* One thread looks, as a handler does, while another changes what is there. */
static _Atomic bool done;

static void *look_up(void *data)
{
    struct codes *codes = data;
    size_t *found = calloc(1, sizeof *found);
    assert_non_null(found);
    while (!atomic_load(&done)) {
        if (!codes_begin_look(codes))
            continue;
        for (uintptr_t i = 0; i < 200; i++)
            *found += codes_find(codes, 0x1000 + i * 7919 % 0x10000) != NULL;
        codes_end_look(codes);
    }
    return found;
}

static void test_a_handler_may_look_while_another_thread_changes(void **state)
{
#ifdef __SANITIZE_THREAD__ /* it finds a race where it is, not where it does harm */
    enum { CHANGES = 20000 };
#else
    enum { CHANGES = 100000 };
#endif
    struct codes *codes = open_codes();
    pthread_t thread;
    void *found;
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, look_up, codes), 0);
    for (uintptr_t i = 0; i < CHANGES; i++) {
        uintptr_t start = 0x1000 + i * 104729 % 0x10000;
        add(codes, start, 0x20, i % 3 == 0 ? "JS:^f /a.js:1:1" : "JS:^g /a.js:2:1");
        if (i % 5 == 0)
            codes_move(codes, start, 0x1000 + i * 15485863 % 0x10000);
    }
    atomic_store(&done, true);
    assert_int_equal(pthread_join(thread, &found), 0);
    assert_true(*(size_t *)found > 0);
    free(found);
    codes_free(codes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_code_is_found_by_every_address_in_it),
        cmocka_unit_test(test_code_moves),
        cmocka_unit_test(test_new_code_takes_the_place_of_all_that_lay_there),
        cmocka_unit_test(test_names_are_read_as_v8_spells_them),
        cmocka_unit_test(test_what_is_no_function_has_no_name),
        cmocka_unit_test(test_the_codes_of_a_function_have_one_number),
        cmocka_unit_test(test_a_name_outlives_its_code_by_two_drains),
        cmocka_unit_test(test_a_full_table_forgets_what_is_not_met),
        cmocka_unit_test(test_names_without_end_are_left_out),
        cmocka_unit_test(test_a_handler_may_look_while_another_thread_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
