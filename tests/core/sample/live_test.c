/* The table of live blocks and the gaps between samples. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <pthread.h>

#include "sample/countdown.h"
#include "sample/live.h"

static void *address(uintptr_t number)
{
    return (void *)(number * 16);
}

static void open_table(size_t count)
{
    static _Alignas(64) _Atomic uintptr_t slots[1 << 16];
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++)
        slots[i] = 0;
    live_open(slots, count);
}

static int close_table(void **state)
{
    (void)state;
    live_close();
    return 0;
}

static void a_block_is_live_until_it_is_freed(void **state)
{
    (void)state;
    open_table(1024);
    for (uintptr_t i = 1; i <= 100; i++)
        assert_int_not_equal(live_add(address(i)).block, 0);
    assert_int_equal(live_count(), 100);
    for (uintptr_t i = 1; i <= 200; i++) {
        assert_int_equal(cprof_is_listed(address(i)), i <= 100);
        cprof_freed(address(i));
        assert_false(cprof_is_listed(address(i)));
    }
    cprof_freed(address(1)); /* twice is as good as once */
    assert_int_equal(live_freed(), 100);
    size_t freed = 0;
    for (size_t slot = 0; slot < live_slots(); slot++)
        if (live_state(slot) == LIVE_FREED) {
            live_empty(slot);
            freed++;
        }
    assert_int_equal(freed, 100);
    assert_int_equal(live_count(), 0);
    for (size_t i = 0; i < CPROF_LIVE_FILTER; i++)
        assert_int_equal(cprof_live_filter[i], 0);
}

static void an_address_listed_anew_ends_its_older_block(void **state)
{
    (void)state;
    open_table(1024);
    uint32_t first = live_add(address(7)).block, second = live_add(address(7)).block;
    assert_int_not_equal(first, second);
    assert_int_equal(live_state(first - 1), LIVE_FREED);
    assert_int_equal(live_state(second - 1), LIVE_LISTED);
}

static void half_of_the_slots_are_used_and_the_rest_is_counted(void **state)
{
    (void)state;
    open_table(4096);
    size_t listed = 0;
    for (uintptr_t i = 1; i <= 3000; i++)
        listed += live_add(address(i * 12345)).block != 0;
    assert_int_equal(listed, 2048);
    assert_int_equal(live_unlisted(), 3000 - 2048);
}

static void of_thinned_blocks_one_in_so_many_is_listed(void **state)
{
    (void)state;
    open_table(65536);
    live_thin(3);
    size_t listed = 0;
    for (uintptr_t i = 1; i <= 80000; i++) {
        struct live_place place = live_add(address(i));
        listed += place.block != 0;
        assert_int_equal(place.shift, 3);
    }
    assert_in_range(listed, 10000 - 400, 10000 + 400); /* 4 standard deviations */
}

static void a_closed_table_lists_nothing(void **state)
{
    (void)state;
    live_close();
    assert_int_equal(live_add(address(1)).block, 0);
    cprof_freed(address(1));
    cprof_freed_now(address(1));
    open_table(1024);
    assert_int_equal(live_add(NULL).block, 0);
    assert_int_equal(live_count(), 0);
}

/* Two threads that list and free addresses whose buckets they share, the collector between. */
enum { ROUNDS = 20000, EACH = 64 };

static void *churn(void *given)
{
    uintptr_t begin = (uintptr_t)given;
    for (int round = 0; round < ROUNDS / EACH; round++) {
        for (uintptr_t i = 0; i < EACH; i++)
            (void)live_add(address(begin + 2 * i));
        for (uintptr_t i = 0; i < EACH; i++)
            cprof_freed(address(begin + 2 * i));
    }
    return NULL;
}

static void empty_the_freed(void)
{
    for (size_t slot = 0; slot < live_slots(); slot++)
        if (live_state(slot) == LIVE_FREED)
            live_empty(slot);
}

static void nothing_stays_of_what_threads_list_and_free(void **state)
{
    (void)state;
    open_table(1024);
    pthread_t threads[2];
    for (uintptr_t i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, churn, (void *)(1 + i));
    for (int i = 0; i < 200; i++)
        empty_the_freed();
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    empty_the_freed();
    assert_int_equal(live_count(), 0);
    for (size_t slot = 0; slot < live_slots(); slot++)
        assert_int_equal(live_state(slot), LIVE_EMPTY);
    for (size_t i = 0; i < CPROF_LIVE_FILTER; i++)
        assert_int_equal(cprof_live_filter[i], 0);
}

static void gaps_are_exponential(void **state)
{
    (void)state;
    enum { DRAWS = 200000, PERIOD = 524288 };
    uint64_t random = 42;
    double sum = 0, squares = 0;
    size_t below_tenth = 0, above_three = 0;
    for (int i = 0; i < DRAWS; i++) {
        double gap = (double)countdown_draw(&random, PERIOD) / PERIOD;
        sum += gap;
        squares += gap * gap;
        below_tenth += gap < 0.1;
        above_three += gap > 3;
    }
    /* Each within some five standard deviations. */
    assert_true(fabs(sum / DRAWS - 1) < 0.012);
    assert_true(fabs(squares / DRAWS - 2) < 0.05);
    assert_true(fabs((double)below_tenth / DRAWS - (1 - exp(-0.1))) < 0.0035);
    assert_true(fabs((double)above_three / DRAWS - exp(-3)) < 0.0025);
}

static void the_logarithm_is_good_to_a_hundred_millionth(void **state)
{
    (void)state;
    const uint64_t at[] = {1,
                           2,
                           3,
                           1 << 20,
                           UINT64_MAX,
                           UINT64_MAX / 2,
                           UINT64_MAX / 3,
                           UINT64_C(0x16a09e667f3bcc90)};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        double exact = 64 * log(2) - log((double)at[i]);
        assert_true(fabs(countdown_log(at[i]) - exact) < 2e-8);
    }
}

static void the_chance_is_good_to_a_billionth(void **state)
{
    (void)state;
    const uint64_t at[] = {1, 16, 1000, 262143, 262145, 524288, 5000000, 20000000, 1 << 30};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        double exact = -expm1(-(double)at[i] / 524288);
        assert_true(fabs(countdown_chance(at[i], 524288) / exact - 1) < 1e-9);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_block_is_live_until_it_is_freed, close_table),
        cmocka_unit_test_teardown(an_address_listed_anew_ends_its_older_block, close_table),
        cmocka_unit_test_teardown(half_of_the_slots_are_used_and_the_rest_is_counted,
                                  close_table),
        cmocka_unit_test_teardown(of_thinned_blocks_one_in_so_many_is_listed, close_table),
        cmocka_unit_test_teardown(a_closed_table_lists_nothing, close_table),
        cmocka_unit_test_teardown(nothing_stays_of_what_threads_list_and_free, close_table),
        cmocka_unit_test(gaps_are_exponential),
        cmocka_unit_test(the_logarithm_is_good_to_a_hundred_millionth),
        cmocka_unit_test(the_chance_is_good_to_a_billionth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
