/* Samples of a turn that goes on are held, and labelled with how long it took. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "collect/held.h"
#include "sample/loops.h"

static struct cprof_loop *loop;
static struct held held;

static struct profile *new_interval(void)
{
    struct profile *p = profile_new(NULL);
    profile_add_value_type(p, 0, "samples", "count");
    profile_add_value_type(p, 0, "cpu", "nanoseconds");
    return p;
}

static void pass(uint64_t ms)
{
    const uint64_t until = clock_ns(CLOCK_MONOTONIC) + ms * 1000000;
    while (clock_ns(CLOCK_MONOTONIC) < until)
        continue;
}

static struct held_row row_now(struct profile *p, const char *thread)
{
    const struct profile_label label = {.key = profile_string(p, "thread.name"),
                                        .text = profile_string(p, thread)};
    const profile_id location =
        profile_location(p, &(struct profile_location){.address = 4096, .line_count = 0});
    return (struct held_row){.tid = (pid_t)syscall(SYS_gettid),
                             .time = clock_ns(CLOCK_MONOTONIC),
                             .stack = profile_stack(p, &location, 1),
                             .labels = profile_labels(p, &label, 1),
                             .values = {1, 10}};
}

/* The label of the only sample, which is whole otherwise. */
static const char *only(const struct profile *p, const char *thread)
{
    assert_int_equal(profile_sample_count(p), 1);
    const struct profile_sample sample = profile_get_sample(p, 0);
    assert_int_equal(profile_value(p, &sample, 1), 10);
    assert_string_equal(profile_label_text(p, sample.labels, "thread.name"), thread);
    assert_int_equal(profile_get_stack(p, sample.stack).depth, 1);
    return profile_label_text(p, sample.labels, "loop.turn");
}

static int begin(void **state)
{
    (void)state;
    loops_open();
    loop = cprof_loop_enter(&(struct cprof_loop_options){.name = "loop"});
    held = (struct held){0};
    return loop != NULL ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    cprof_loop_leave(loop);
    loops_close();
    held_free(&held);
    return 0;
}

static void a_sample_waits_for_the_end_of_its_turn(void **state)
{
    (void)state;
    struct profile *p = new_interval();
    const struct held_row row = row_now(p, "main");
    held_add(&held, p, &row);
    held_settle(&held, p, false);
    assert_int_equal(profile_sample_count(p), 0);
    pass(12);
    held_settle(&held, p, false);
    assert_int_equal(profile_sample_count(p), 0);
    cprof_loop_waits(loop);
    bool open;
    const enum loop_word word = loops_turn(row.tid, row.time, &open);
    held_settle(&held, p, false);
    assert_string_equal(only(p, "main"), loop_word_text(word));
    assert_int_equal(held.count, 0);
    profile_free(p);
}

static void what_is_held_goes_to_the_next_interval(void **state)
{
    (void)state;
    struct profile *first = new_interval(), *second = new_interval();
    (void)profile_string(second, "something else"); /* ids are not the same */
    const struct held_row row = row_now(first, "main");
    held_add(&held, first, &row);
    held_carry(&held, first, second);
    assert_int_equal(profile_sample_count(first), 0);
    profile_free(first);
    pass(12);
    cprof_loop_waits(loop);
    held_settle(&held, second, false);
    assert_non_null(only(second, "main"));
    profile_free(second);
}

static void what_can_not_wait_has_the_time_up_to_now(void **state)
{
    (void)state;
    struct profile *p = new_interval();
    const struct held_row row = row_now(p, "main");
    held_add(&held, p, &row);
    pass(12);
    held_settle(&held, p, true);
    assert_non_null(only(p, "main"));
    profile_free(p);
}

static void short_turns_and_other_threads_have_no_label(void **state)
{
    (void)state;
    struct profile *p = new_interval(), *others = new_interval();
    cprof_loop_waits(loop);
    const struct held_row waiting = row_now(p, "main");
    held_add(&held, p, &waiting);
    assert_null(only(p, "main"));
    struct held_row other = row_now(others, "other");
    other.tid++;
    held_add(&held, others, &other);
    assert_null(only(others, "other"));
    assert_null(held.rows);
    profile_free(p);
    profile_free(others);
}

static void no_more_than_there_is_room_for_are_held(void **state)
{
    (void)state;
    struct profile *p = new_interval();
    const struct held_row row = row_now(p, "main");
    pass(12);
    for (int i = 0; i < HELD_MAX + 3; i++)
        held_add(&held, p, &row);
    assert_int_equal(held.count, HELD_MAX);
    const struct profile_sample sample = profile_get_sample(p, 0);
    assert_int_equal(profile_value(p, &sample, 0), 3);
    held_settle(&held, p, true);
    int64_t sum = 0;
    for (size_t i = 0; i < profile_sample_count(p); i++) {
        const struct profile_sample each = profile_get_sample(p, i);
        sum += profile_value(p, &each, 0);
    }
    assert_int_equal(sum, HELD_MAX + 3);
    profile_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_sample_waits_for_the_end_of_its_turn, begin, end),
        cmocka_unit_test_setup_teardown(what_is_held_goes_to_the_next_interval, begin, end),
        cmocka_unit_test_setup_teardown(what_can_not_wait_has_the_time_up_to_now, begin, end),
        cmocka_unit_test_setup_teardown(short_turns_and_other_threads_have_no_label, begin,
                                        end),
        cmocka_unit_test_setup_teardown(no_more_than_there_is_room_for_are_held, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
