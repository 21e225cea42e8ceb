/* Sets of addresses: what was put in and not taken out is there, however full it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cprof/addresses.h"

enum { COUNT = 5000 };

static int compare(const void *a, const void *b)
{
    uintptr_t one = *(const uintptr_t *)a, other = *(const uintptr_t *)b;
    return (one > other) - (one < other);
}

/* Of the multiples of 64 below 64 * COUNT those are there that `step` divides, or does not. */
static void check(struct cprof_addresses *set, uintptr_t step, int divides)
{
    size_t count, at = 0;
    uintptr_t *all = cprof_addresses_copy(set, &count);
    assert_int_equal(count, cprof_addresses_count(set));
    qsort(all, count, sizeof *all, compare);
    for (uintptr_t i = 1; i <= COUNT; i++)
        if ((i % step == 0) == (divides != 0)) {
            assert_true(at < count);
            assert_int_equal(all[at++], i * 64);
        }
    assert_int_equal(at, count);
    free(all);
}

static void what_was_taken_out_is_gone_and_all_else_is_there(void **state)
{
    struct cprof_addresses set = CPROF_ADDRESSES_INIT;
    (void)state;
    for (uintptr_t i = 1; i <= COUNT; i++)
        cprof_addresses_add(&set, i * 64);
    cprof_addresses_add(&set, 64);
    cprof_addresses_remove(&set, 7);
    check(&set, 1, 1);
    for (uintptr_t i = 3; i <= COUNT; i += 3)
        cprof_addresses_remove(&set, i * 64);
    check(&set, 3, 0);
    for (uintptr_t i = 3; i <= COUNT; i += 3)
        cprof_addresses_add(&set, i * 64);
    for (uintptr_t i = 1; i <= COUNT; i++)
        if (i % 5 != 0)
            cprof_addresses_remove(&set, i * 64);
    check(&set, 5, 1);
    free(set.slots);
}

static void an_empty_set_has_nothing_to_take_out(void **state)
{
    struct cprof_addresses set = CPROF_ADDRESSES_INIT;
    size_t count;
    (void)state;
    cprof_addresses_remove(&set, 64);
    cprof_addresses_add(&set, 0);
    assert_null(cprof_addresses_copy(&set, &count));
    assert_int_equal(count, 0);
}

static void what_is_beyond_the_bound_is_left_out(void **state)
{
    struct cprof_addresses set = CPROF_ADDRESSES_INIT;
    (void)state;
    for (uintptr_t i = 1; i <= CPROF_ADDRESSES_MAX + 100; i++)
        cprof_addresses_add(&set, i * 16);
    assert_int_equal(cprof_addresses_count(&set), CPROF_ADDRESSES_MAX);
    cprof_addresses_remove(&set, 16);
    cprof_addresses_add(&set, 8);
    assert_int_equal(cprof_addresses_count(&set), CPROF_ADDRESSES_MAX);
    free(set.slots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_taken_out_is_gone_and_all_else_is_there),
        cmocka_unit_test(an_empty_set_has_nothing_to_take_out),
        cmocka_unit_test(what_is_beyond_the_bound_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
