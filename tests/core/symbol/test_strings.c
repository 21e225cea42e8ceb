#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "symbol/strings.h"

static void equal_strings_are_kept_once(void **state)
{
    struct budget budget;
    struct strings strings;
    const char *kept[2000];
    char text[32];
    (void)state;
    budget_init(&budget, 0);
    strings_init(&strings, &budget);
    for (int i = 0; i < 4000; i++) {
        snprintf(text, sizeof text, "name %d", i % 2000);
        const char *copy = strings_keep(&strings, text);
        assert_string_equal(copy, text);
        if (i < 2000)
            kept[i] = copy;
        else
            assert_ptr_equal(copy, kept[i - 2000]);
    }
    strings_free(&strings);
    assert_int_equal(budget_used(&budget), 0);
}

static void nothing_is_kept_beyond_the_budget(void **state)
{
    struct budget budget;
    struct strings strings;
    char text[32];
    int kept = 0;
    (void)state;
    budget_init(&budget, 8192);
    strings_init(&strings, &budget);
    for (int i = 0; i < 4000; i++) {
        snprintf(text, sizeof text, "name %d", i);
        kept += strings_keep(&strings, text) != NULL;
    }
    assert_true(kept > 100 && kept < 1000);
    assert_true(budget_used(&budget) <= 8192);
    strings_free(&strings);
    assert_int_equal(budget_used(&budget), 0);
}

static void what_is_not_utf8_is_replaced(void **state)
{
    static const char *const pairs[][2] = {
        {"plain", "plain"},
        {"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x8d",
         "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x8d"},
        {"tab\there\n", "tab?here?"},
        {"\xff\xfe", "??"},
        {"cut \xe2\x82", "cut ??"},
        {"overlong \xc0\xaf", "overlong ??"},
        {"surrogate \xed\xa0\x80", "surrogate ???"},
        {"beyond \xf4\x90\x80\x80", "beyond ????"},
        {"\x7f", "?"},
        {"", ""},
    };
    struct strings strings;
    (void)state;
    strings_init(&strings, NULL);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        assert_string_equal(strings_keep(&strings, pairs[i][0]), pairs[i][1]);
    strings_free(&strings);
}

static void long_strings_are_cut_between_characters(void **state)
{
    char text[2 * STRINGS_LONGEST];
    struct strings strings;
    (void)state;
    strings_init(&strings, NULL);
    for (size_t i = 0; i + 3 < sizeof text; i += 3)
        memcpy(text + i, "\xe2\x82\xac", 4);
    const char *kept = strings_keep(&strings, text);
    assert_int_equal(strlen(kept), (STRINGS_LONGEST - 1) / 3 * 3);
    strings_free(&strings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_strings_are_kept_once),
        cmocka_unit_test(nothing_is_kept_beyond_the_budget),
        cmocka_unit_test(what_is_not_utf8_is_replaced),
        cmocka_unit_test(long_strings_are_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
