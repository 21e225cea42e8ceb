/* Seconds of waits by state and reason: of offcpu's column or wall's, running time left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "collect/wait_totals.h"

static struct wait_totals totals;

static struct profile *interval(const char *column)
{
    struct profile *p = profile_new(NULL);
    profile_add_value_type(p, 0, column, "nanoseconds");
    return p;
}

static void wait_for(struct profile *p, const char *state, const char *reason, int64_t ns)
{
    const struct profile_label labels[] = {
        {.key = profile_string(p, "thread.state"), .text = profile_string(p, state)},
        {.key = profile_string(p, "wait.reason"), .text = profile_string(p, reason)}};
    profile_add(p, 0, 0, 0, profile_labels(p, labels, reason[0] != '\0' ? 2 : 1), &ns);
}

static int64_t ns_of(const char *state, const char *reason)
{
    struct wait_series series[WAIT_SERIES];
    size_t count = wait_totals_read(&totals, series);
    for (size_t i = 0; i < count; i++)
        if (strcmp(series[i].state, state) == 0 && strcmp(series[i].reason, reason) == 0)
            return series[i].ns;
    return -1;
}

static void count(struct profile *p)
{
    wait_totals_count(&totals, p);
    profile_free(p);
}

static void waits_add_up_by_state_and_reason(void **state)
{
    (void)state;
    static const char *const columns[] = {"off_cpu", "wall"};
    wait_totals_init(&totals);
    for (size_t i = 0; i < 2; i++) {
        struct profile *p = interval(columns[i]);
        wait_for(p, "waiting", "gil", 100);
        wait_for(p, "waiting", "lock", 20);
        wait_for(p, "runnable", "", 3);
        wait_for(p, "running", "", 7000);
        count(p);
    }
    assert_int_equal(ns_of("waiting", "gil"), 200);
    assert_int_equal(ns_of("waiting", "lock"), 40);
    assert_int_equal(ns_of("runnable", ""), 6);
    assert_int_equal(ns_of("running", ""), -1);
}

static void cpu_time_alone_has_no_series(void **state)
{
    (void)state;
    struct wait_series series[WAIT_SERIES];
    struct profile *p = interval("cpu");
    wait_totals_init(&totals);
    wait_for(p, "waiting", "gil", 100);
    count(p);
    assert_int_equal(wait_totals_read(&totals, series), 0);
}

static void reasons_are_bounded_and_lose_nothing(void **state)
{
    (void)state;
    struct wait_series series[WAIT_SERIES];
    struct profile *p = interval("off_cpu");
    char reason[32];
    int64_t sum = 0;
    wait_totals_init(&totals);
    for (int i = 0; i < 100; i++) {
        snprintf(reason, sizeof reason, "reason %d", i);
        wait_for(p, "waiting", reason, 1);
    }
    count(p);
    size_t found = wait_totals_read(&totals, series);
    for (size_t i = 0; i < found; i++)
        sum += series[i].ns;
    assert_int_equal(found, WAIT_SERIES);
    assert_int_equal(sum, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_add_up_by_state_and_reason),
        cmocka_unit_test(cpu_time_alone_has_no_series),
        cmocka_unit_test(reasons_are_bounded_and_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
