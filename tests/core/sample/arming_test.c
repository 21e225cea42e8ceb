/* Whose timer is of no use. The main thread blocks the C library's signal or does not, and its
 * CPU time is what the test says. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "sample/arming.h"
#include "sample/due.h"

enum { SIGNAL = 33 };

static struct thread *thread = &thread_records[0];

static void block(int how)
{
    const uint64_t mask = UINT64_C(1) << (SIGNAL - 1);
    assert_int_equal(syscall(SYS_rt_sigprocmask, how, &mask, NULL, sizeof mask), 0);
}

/* Late by so much, it is looked at. */
static bool is_futile_when_late(uint64_t late_ns)
{
    return arming_is_futile(thread, (uint64_t)thread->due_ns + late_ns);
}

static int open_both(void **state)
{
    (void)state;
    const uint64_t period_ns = NS_PER_SECOND / 1000;
    due_open(period_ns);
    arming_open(period_ns);
    arming_use(SIGNAL, false);
    *thread = (struct thread){.planned = true, .due_ns = NS_PER_SECOND};
    atomic_store(&thread->tid, getpid());
    return 0;
}

static int unblock(void **state)
{
    (void)state;
    block(SIG_UNBLOCK);
    return 0;
}

static void one_that_blocks_for_good_has_a_timer_in_vain(void **state)
{
    (void)state;
    block(SIG_BLOCK);
    assert_false(is_futile_when_late(NS_PER_SECOND));
    assert_true(is_futile_when_late(NS_PER_SECOND));
}

/* At 1,000 a second and 250 ticks every thread is late by four periods, again and again. */
static void a_sample_waits_for_its_tick_at_any_rate(void **state)
{
    (void)state;
    struct timespec tick;
    assert_int_equal(clock_getres(CLOCK_MONOTONIC_COARSE, &tick), 0);
    block(SIG_BLOCK);
    for (int look = 0; look < 3; look++)
        assert_false(is_futile_when_late(2 * (uint64_t)tick.tv_nsec));
}

/* Our own handler blocks the signal, and a thread may wait for a processor within it. */
static void looks_count_in_a_row_only(void **state)
{
    (void)state;
    for (int look = 0; look < 3; look++) {
        block(SIG_BLOCK);
        assert_false(is_futile_when_late(NS_PER_SECOND));
        assert_false(is_futile_when_late(0)); /* its samples come */
    }
    assert_false(is_futile_when_late(NS_PER_SECOND));
    block(SIG_UNBLOCK);
    assert_false(is_futile_when_late(NS_PER_SECOND));
    block(SIG_BLOCK);
    assert_false(is_futile_when_late(NS_PER_SECOND));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_that_blocks_for_good_has_a_timer_in_vain, open_both,
                                        unblock),
        cmocka_unit_test_setup_teardown(a_sample_waits_for_its_tick_at_any_rate, open_both,
                                        unblock),
        cmocka_unit_test_setup_teardown(looks_count_in_a_row_only, open_both, unblock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
