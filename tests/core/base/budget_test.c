/* The bound on memory: exact, also between threads and within shares. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <cmocka.h>

#include "base/budget.h"

static void a_budget_gives_to_the_last_byte_and_no_more(void **state)
{
    (void)state;
    struct budget budget;
    budget_init(&budget, 100);
    assert_true(budget_take(&budget, 60));
    assert_false(budget_take(&budget, 41));
    assert_false(budget_take(&budget, SIZE_MAX));
    assert_true(budget_take(&budget, 40));
    assert_int_equal(budget_used(&budget), 100);
    budget_give(&budget, 60);
    assert_true(budget_take(&budget, 60));
}

static void no_budget_and_no_limit_have_room_for_all(void **state)
{
    (void)state;
    struct budget budget;
    budget_init(&budget, 0);
    assert_true(budget_take(NULL, 1 << 30));
    assert_true(budget_take(&budget, 1 << 30));
    assert_int_equal(budget_used(&budget), 1 << 30);
    budget_give(NULL, 1 << 30);
    assert_int_equal(budget_used(NULL), 0);
}

static void a_share_ends_before_the_whole_does(void **state)
{
    (void)state;
    struct budget whole, share;
    budget_init(&whole, 100);
    budget_init_share(&share, &whole, 4);
    assert_true(budget_take(&share, 25));
    assert_false(budget_take(&share, 1));
    assert_int_equal(budget_used(&whole), 25);
    assert_true(budget_take(&whole, 75));
    budget_give(&share, 25);
    assert_int_equal(budget_used(&share), 0);
    assert_int_equal(budget_used(&whole), 75);
}

static void a_share_takes_nothing_that_the_whole_has_not(void **state)
{
    (void)state;
    struct budget whole, share;
    budget_init(&whole, 100);
    budget_init_share(&share, &whole, 2);
    assert_true(budget_take(&whole, 80));
    assert_false(budget_take(&share, 30));
    assert_int_equal(budget_used(&share), 0);
    assert_int_equal(budget_used(&whole), 80);
    assert_true(budget_take(&share, 20));
}

static void a_share_of_nothing_is_unlimited(void **state)
{
    (void)state;
    struct budget share;
    budget_init_share(&share, NULL, 4);
    assert_true(budget_take(&share, 1 << 30));
    budget_give(&share, 1 << 30);
    assert_int_equal(budget_used(&share), 0);
}

static void what_is_reserved_is_there_when_all_else_is_taken(void **state)
{
    (void)state;
    struct budget whole, share;
    budget_init(&whole, 100);
    budget_reserve_share(&share, &whole, 4);
    assert_int_equal(budget_used(&whole), 0);
    assert_false(budget_take(&whole, 76));
    assert_true(budget_take(&whole, 75));
    assert_true(budget_take(&share, 25));
    assert_false(budget_take(&share, 1));
    assert_int_equal(budget_used(&whole), 100);
    budget_give(&share, 25);
    assert_int_equal(budget_used(&whole), 75);
    assert_false(budget_take(&whole, 1));
    budget_release_share(&share);
    assert_true(budget_take(&whole, 25));
    budget_give(&whole, 100);
    assert_int_equal(budget_used(&whole), 0);
}

static void nothing_is_reserved_that_the_whole_has_not(void **state)
{
    (void)state;
    struct budget whole, share, none;
    budget_init(&whole, 100);
    assert_true(budget_take(&whole, 90));
    budget_reserve_share(&share, &whole, 4);
    assert_true(budget_take(&share, 6));
    assert_false(budget_take(&share, 1));
    assert_true(budget_take(&whole, 4));
    budget_reserve_share(&none, &whole, 4);
    assert_false(budget_take(&none, 1));
    budget_release_share(&none);
    assert_int_equal(budget_used(&whole), 100);
}

static void a_share_has_its_first_bytes_reserved_and_draws_the_rest(void **state)
{
    (void)state;
    struct budget whole, share;
    budget_init(&whole, 100);
    budget_init_share(&share, &whole, 2);
    budget_reserve(&share, 10);
    assert_int_equal(budget_used(&whole), 0);
    assert_true(budget_take(&share, 15));
    assert_int_equal(budget_used(&whole), 15);
    assert_true(budget_take(&whole, 80));
    assert_false(budget_take(&share, 6)); /* within its limit, but there are 5 */
    assert_int_equal(budget_used(&share), 15);
    assert_int_equal(budget_used(&whole), 95);
    budget_give(&share, 15);
    assert_int_equal(budget_used(&whole), 80);
    assert_true(budget_take(&whole, 10));
    assert_false(budget_take(&whole, 1));
    assert_true(budget_take(&share, 10));
    assert_false(budget_take(&share, 1));
    budget_give(&share, 10);
    budget_release_share(&share);
    assert_true(budget_take(&whole, 10));
    budget_give(&whole, 100);
    assert_int_equal(budget_used(&whole), 0);
}

static void what_is_left_of_a_share_is_its_reserve_and_what_the_whole_has(void **state)
{
    (void)state;
    struct budget whole, share;
    budget_init(&whole, 100);
    budget_init_share(&share, &whole, 2);
    assert_int_equal(budget_left(&share), 50);
    budget_reserve(&share, 10);
    assert_int_equal(budget_left(&whole), 90);
    assert_true(budget_take(&whole, 85));
    assert_int_equal(budget_left(&whole), 5);
    assert_int_equal(budget_left(&share), 15);
    assert_true(budget_take(&share, 12));
    assert_int_equal(budget_left(&share), 3);
    assert_int_equal(budget_left(&whole), 3);
    budget_init(&whole, 0);
    assert_true(budget_take(&whole, 1000));
    assert_true(budget_left(&whole) == SIZE_MAX && budget_left(NULL) == SIZE_MAX);
}

/* Not NULL when more was taken than there is. */
static void *take_and_give(void *budget)
{
    for (int i = 0; i < 20000; i++) {
        if (!budget_take(budget, 30))
            continue;
        if (budget_used(budget) > 100)
            return budget;
        budget_give(budget, 30);
    }
    return NULL;
}

static void threads_never_take_more_than_there_is(void **state)
{
    (void)state;
    struct budget budget;
    pthread_t threads[4];
    void *exceeded;
    budget_init(&budget, 100);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, &budget), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &exceeded);
        assert_null(exceeded);
    }
    assert_int_equal(budget_used(&budget), 0);
}

/* Both run into the end of the whole, the share on both sides of what it has reserved. */
static void threads_that_share_a_reserve_leave_it_as_it_was(void **state)
{
    (void)state;
    struct budget whole, share;
    pthread_t threads[4];
    void *exceeded;
    budget_init(&whole, 100);
    budget_init_share(&share, &whole, 1);
    budget_reserve(&share, 40);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, i ? &share : &whole),
                         0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &exceeded);
        assert_null(exceeded);
    }
    assert_int_equal(budget_used(&share), 0);
    assert_int_equal(budget_used(&whole), 0);
    assert_false(budget_take(&whole, 61));
    assert_true(budget_take(&whole, 60));
    assert_true(budget_take(&share, 40));
    assert_false(budget_take(&share, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_budget_gives_to_the_last_byte_and_no_more),
        cmocka_unit_test(no_budget_and_no_limit_have_room_for_all),
        cmocka_unit_test(a_share_ends_before_the_whole_does),
        cmocka_unit_test(a_share_takes_nothing_that_the_whole_has_not),
        cmocka_unit_test(a_share_of_nothing_is_unlimited),
        cmocka_unit_test(what_is_reserved_is_there_when_all_else_is_taken),
        cmocka_unit_test(a_share_has_its_first_bytes_reserved_and_draws_the_rest),
        cmocka_unit_test(nothing_is_reserved_that_the_whole_has_not),
        cmocka_unit_test(what_is_left_of_a_share_is_its_reserve_and_what_the_whole_has),
        cmocka_unit_test(threads_never_take_more_than_there_is),
        cmocka_unit_test(threads_that_share_a_reserve_leave_it_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
