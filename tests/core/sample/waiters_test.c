/* Who waits for which lock: whoever lets it go learns of all, and they of him. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <time.h>

#include "base/clock.h"
#include "cprof/waiters.h"

/* Two that are in one list. */
#define A_LOCK ((uintptr_t)0x10000)
#define ANOTHER (A_LOCK ^ (UINT64_C(1) << 40 | UINT64_C(1) << 60))

static int nobody_waits(void **state)
{
    (void)state;
    cprof_waiters_child();
    return 0;
}

static void pass(uint64_t ns)
{
    for (uint64_t till = clock_ns(CLOCK_MONOTONIC) + ns; clock_ns(CLOCK_MONOTONIC) < till;)
        ;
}

static void waits_are_told_to_who_lets_go_and_he_to_them(void **state)
{
    (void)state;
    struct cprof_waiter first, second, other;
    struct cprof_waited of;
    assert_ptr_equal(cprof_waiters_head(A_LOCK), cprof_waiters_head(ANOTHER));
    assert_false(cprof_has_waiters(A_LOCK));
    cprof_wait_begins(&first, A_LOCK, true);
    cprof_wait_begins(&other, ANOTHER, true);
    pass(1000);
    cprof_wait_begins(&second, A_LOCK, true);
    assert_true(cprof_has_waiters(A_LOCK));
    pass(1000);
    assert_true(cprof_lets_go(A_LOCK, 7) >= 3000);
    uint64_t rest = cprof_lets_go(A_LOCK, 8);
    assert_true(cprof_wait_ends(&first, &of) >= 2000 + rest / 2);
    assert_int_equal(of.holder, 8);
    assert_true(of.lock == A_LOCK);
    (void)cprof_wait_ends(&other, &of);
    assert_int_equal(of.holder, 0);
    assert_true(of.lock == ANOTHER);
    assert_true(cprof_has_waiters(A_LOCK));
    (void)cprof_wait_ends(&second, &of);
    assert_int_equal(of.holder, 8);
    assert_false(cprof_has_waiters(A_LOCK));
    assert_int_equal(cprof_lets_go(A_LOCK, 9), 0);
}

static void what_is_too_much_is_measured_all_the_same(void **state)
{
    static struct cprof_waiter waiters[WAITERS_MAX + 1];
    struct cprof_waited of;
    (void)state;
    for (size_t i = 0; i <= WAITERS_MAX; i++)
        cprof_wait_begins(&waiters[i], A_LOCK + 16 * i, true);
    for (size_t i = 0; i <= WAITERS_MAX; i++) {
        assert_true((cprof_lets_go(A_LOCK + 16 * i, 7) > 0) == (i < WAITERS_MAX));
        assert_true(cprof_wait_ends(&waiters[i], &of) > 0);
        assert_int_equal(of.holder, i < WAITERS_MAX ? 7 : 0);
    }
    for (size_t i = 0; i < WAITERS_HEADS; i++)
        assert_int_equal(cprof_waiters_heads[i], 0);
}

static void one_that_is_on_no_list_keeps_nobody(void **state)
{
    struct cprof_waiter waiter;
    struct cprof_waited of;
    (void)state;
    cprof_wait_begins(&waiter, A_LOCK, false);
    assert_false(cprof_has_waiters(A_LOCK));
    pass(1000);
    assert_true(cprof_wait_ends(&waiter, &of) >= 1000);
    assert_int_equal(of.holder, 0);
}

static void a_wait_from_before_a_fork_ends_without_harm(void **state)
{
    struct cprof_waiter before, now;
    struct cprof_waited of;
    (void)state;
    cprof_wait_begins(&before, A_LOCK, true);
    cprof_waiters_child();
    assert_false(cprof_has_waiters(A_LOCK));
    cprof_wait_begins(&now, A_LOCK, true);
    (void)cprof_wait_ends(&before, &of);
    assert_true(cprof_has_waiters(A_LOCK));
    (void)cprof_wait_ends(&now, &of);
    assert_false(cprof_has_waiters(A_LOCK));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(waits_are_told_to_who_lets_go_and_he_to_them, nobody_waits),
        cmocka_unit_test_setup(what_is_too_much_is_measured_all_the_same, nobody_waits),
        cmocka_unit_test_setup(one_that_is_on_no_list_keeps_nobody, nobody_waits),
        cmocka_unit_test_setup(a_wait_from_before_a_fork_ends_without_harm, nobody_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
