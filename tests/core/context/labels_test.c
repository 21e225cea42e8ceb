/* Sets of labels: equal ones are one, long ones are cut, places come free again. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "cprof/labels.h"

static void append(void *closure, const char *key, const char *value)
{
    char *out = closure;
    size_t size = strlen(out);
    snprintf(out + size, 2048 - size, "%s=%s;", key, value);
}

static void assert_told(uint32_t set, const char *expected)
{
    char out[2048] = "";
    cprof_labels_of(set, append, out);
    assert_string_equal(out, expected);
}

static uint32_t hold_number(unsigned i)
{
    char value[16];
    snprintf(value, sizeof value, "%u", i);
    return cprof_labels_hold(&(struct cprof_pair){"user", value}, 1);
}

static void equal_sets_are_one_until_all_have_let_go(void **state)
{
    (void)state;
    const struct cprof_pair pairs[] = {{"endpoint", "/users"}, {"step", ""}};
    uint32_t set = cprof_labels_hold(pairs, 2);
    assert_int_not_equal(set, 0);
    assert_int_equal(cprof_labels_hold(pairs, 2), set);
    assert_int_not_equal(cprof_labels_hold(pairs, 1), set);
    assert_told(set, "endpoint=/users;step=;");
    cprof_labels_release(set);
    cprof_labels_drained();
    cprof_labels_drained();
    for (unsigned i = 0; i < CPROF_LABEL_SETS_MAX; i++)
        cprof_labels_release(hold_number(i));
    assert_told(set, "endpoint=/users;step=;");
    cprof_labels_release(set);
}

static void a_set_is_told_until_its_samples_have_been_drained(void **state)
{
    (void)state;
    cprof_labels_drained();
    cprof_labels_drained();
    uint32_t set = hold_number(7000);
    assert_int_not_equal(set, 0);
    cprof_labels_release(set);
    cprof_labels_release(set); /* once too often, without harm */
    cprof_labels_drained();
    for (unsigned i = 0; i < 2 * CPROF_LABEL_SETS_MAX; i++)
        cprof_labels_release(hold_number(8000 + i));
    assert_told(set, "user=7000;");
    cprof_labels_drained();
    for (unsigned i = 0; i < 2 * CPROF_LABEL_SETS_MAX; i++)
        cprof_labels_release(hold_number(20000 + i));
    assert_told(set, "");
}

static void no_more_sets_than_there_are_places(void **state)
{
    (void)state;
    static uint32_t held[CPROF_LABEL_SETS_MAX + 10];
    size_t without = 0;
    cprof_labels_drained();
    cprof_labels_drained();
    for (unsigned i = 0; i < CPROF_LABEL_SETS_MAX + 10; i++) {
        held[i] = hold_number(50000 + i);
        without += held[i] == 0;
    }
    assert_in_range(without, 10, 12); /* two are held since the first test */
    assert_told(0, "");
    for (unsigned i = 0; i < CPROF_LABEL_SETS_MAX + 10; i++)
        cprof_labels_release(held[i]);
    cprof_labels_drained();
    cprof_labels_drained();
    uint32_t set = hold_number(1);
    assert_int_not_equal(set, 0);
    assert_told(set, "user=1;");
    cprof_labels_release(set);
}

static void long_texts_are_cut_between_characters(void **state)
{
    (void)state;
    static char text[1 << 20];
    memset(text, 'x', sizeof text - 1);
    memcpy(text + CPROF_LABEL_BYTES_MAX - 2, "\xe2\x82\xac", 3); /* one byte has no room */
    uint32_t set = cprof_labels_hold(&(struct cprof_pair){"k", text}, 1);
    char expected[2 + CPROF_LABEL_BYTES_MAX] = "k=";
    memset(expected + 2, 'x', CPROF_LABEL_BYTES_MAX - 2);
    strcpy(expected + CPROF_LABEL_BYTES_MAX, ";");
    assert_told(set, expected);
    cprof_labels_release(set);
}

static void a_set_has_its_first_pairs(void **state)
{
    (void)state;
    struct cprof_pair pairs[CPROF_LABELS_MAX + 1];
    for (size_t i = 0; i <= CPROF_LABELS_MAX; i++)
        pairs[i] = (struct cprof_pair){i < CPROF_LABELS_MAX ? "a" : "b", ""};
    uint32_t set = cprof_labels_hold(pairs, CPROF_LABELS_MAX + 1);
    char out[2048] = "";
    cprof_labels_of(set, append, out);
    assert_null(strchr(out, 'b'));
    assert_int_equal(strlen(out), CPROF_LABELS_MAX * strlen("a=;"));
    cprof_labels_release(set);
    assert_int_equal(cprof_labels_hold(NULL, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_sets_are_one_until_all_have_let_go),
        cmocka_unit_test(a_set_is_told_until_its_samples_have_been_drained),
        cmocka_unit_test(no_more_sets_than_there_are_places),
        cmocka_unit_test(long_texts_are_cut_between_characters),
        cmocka_unit_test(a_set_has_its_first_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
