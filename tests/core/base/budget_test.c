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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_budget_gives_to_the_last_byte_and_no_more),
        cmocka_unit_test(no_budget_and_no_limit_have_room_for_all),
        cmocka_unit_test(a_share_ends_before_the_whole_does),
        cmocka_unit_test(a_share_takes_nothing_that_the_whole_has_not),
        cmocka_unit_test(a_share_of_nothing_is_unlimited),
        cmocka_unit_test(threads_never_take_more_than_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
