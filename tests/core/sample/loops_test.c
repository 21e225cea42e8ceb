/* Turns of event loops: what is known of a moment, and the delays that come of them. */
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "sample/loops.h"
#include "sample/turn_times.h"

#define MS UINT64_C(1000000)

static pid_t own_tid(void)
{
    return (pid_t)syscall(SYS_gettid);
}

static uint64_t now(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static void pass(uint64_t ms)
{
    const uint64_t until = now() + ms * MS;
    while (now() < until)
        continue;
}

static void assert_near(uint64_t value, uint64_t wanted, uint64_t tolerance)
{
    assert_in_range(value, wanted > tolerance ? wanted - tolerance : 0, wanted + tolerance);
}

/* Ten seconds, each with a turn of 300 ms. */
static void a_turn_of_300_ms_a_second_has_the_delays_that_it_makes(void **state)
{
    (void)state;
    const uint64_t span = 10000 * MS, turn = 300 * MS;
    struct turn_sums sums = {0};
    for (int i = 0; i < 10; i++)
        turn_sums_add(&sums, turn);
    assert_int_equal(turn_sums_quantile(&sums, span, turn, 0.5), 0);
    assert_near(turn_sums_quantile(&sums, span, turn, 0.9), 200 * MS, MS);
    assert_near(turn_sums_quantile(&sums, span, turn, 0.99), 290 * MS, MS);
    assert_near(turn_sums_mean(&sums, span), 45 * MS, MS);
}

static void short_turns_make_no_long_delays(void **state)
{
    (void)state;
    const uint64_t span = 10000 * MS;
    struct turn_sums sums = {0};
    for (int i = 0; i < 5000; i++) /* half of the time, 1 ms each */
        turn_sums_add(&sums, MS);
    assert_near(turn_sums_quantile(&sums, span, MS, 0.5), 0, 1000);
    assert_near(turn_sums_quantile(&sums, span, MS, 0.75), MS / 2, 2000);
    assert_near(turn_sums_quantile(&sums, span, MS, 0.99), 980000, 2000);
}

static void lengths_of_all_kinds_have_a_class(void **state)
{
    (void)state;
    struct turn_times times;
    struct turn_sums sums;
    memset(&times, 0, sizeof times);
    const uint64_t lengths[] = {
        0, 1, 1000, 1023, 1024, 1536, UINT64_C(1) << 40, UINT64_MAX / 8};
    uint64_t count = 0, sum = 0;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        turn_times_add(&times, lengths[i]);
        sum += lengths[i];
    }
    turn_times_read(&times, &sums);
    uint64_t total = 0;
    for (size_t i = 0; i < TURN_CLASSES; i++) {
        count += sums.count[i];
        total += sums.sum_ns[i];
    }
    assert_int_equal(count, sizeof lengths / sizeof *lengths);
    assert_true(total == sum);
    assert_int_equal(sums.count[TURN_CLASSES - 1], 1);
}

static const struct cprof_loop_options plain = {.name = "loop"};

static struct loop_figures only(void)
{
    struct loop_figures all[LOOPS_MAX];
    assert_int_equal(loops_read(all), 1);
    return all[0];
}

/* How long it took by other clocks bounds what word it may have. */
static enum loop_word most(uint64_t ns)
{
    return ns >= 1000 * MS ? LOOP_1S : ns >= 100 * MS ? LOOP_100MS : LOOP_10MS;
}

static void a_moment_belongs_to_the_turn_it_was_in(void **state)
{
    (void)state;
    bool open;
    loops_open();
    struct cprof_loop *loop = cprof_loop_enter(&plain);
    const uint64_t before = now();
    assert_non_null(loop);
    pass(15);
    const uint64_t within = now();
    pass(15);
    assert_true(loops_turn(own_tid(), within, &open) >= LOOP_10MS && open);
    cprof_loop_waits(loop);
    const enum loop_word longest = most(now() - before);
    const enum loop_word word = loops_turn(own_tid(), within, &open);
    assert_true(word >= LOOP_10MS && word <= longest && !open);
    pass(15);
    const uint64_t waiting = now();
    pass(15);
    assert_int_equal(loops_turn(own_tid(), waiting, &open), LOOP_SHORT);
    assert_false(open);
    cprof_loop_wakes(loop);
    cprof_loop_waits(loop); /* at once */
    assert_int_equal(loops_turn(own_tid(), waiting, &open), LOOP_SHORT);
    assert_true(loops_turn(own_tid(), within, &open) == word && !open);
    assert_int_equal(loops_turn(own_tid() + 1, within, &open), LOOP_SHORT);
    const struct loop_figures figures = only();
    assert_int_equal(figures.turns[word], 1);
    assert_true(figures.active_ns >= 30 * MS && figures.idle_ns >= 30 * MS);
    cprof_loop_leave(loop);
    loops_close();
}

/* Of a loop that says how long it has waited. */
static uint64_t waited_ns;

static uint64_t waited(void *closure)
{
    return *(uint64_t *)closure;
}

static void a_loop_may_count_its_waiting_itself(void **state)
{
    (void)state;
    bool open;
    const struct cprof_loop_options counting = {
        .name = "counting", .waited = waited, .closure = &waited_ns, .resources = true};
    loops_open();
    waited_ns = 7 * MS;
    struct cprof_loop *loop = cprof_loop_enter(&counting);
    const uint64_t began = now();
    pass(40);
    waited_ns += now() - began; /* it waited all the time */
    assert_int_equal(loops_turn(own_tid(), began + 20 * MS, &open), LOOP_SHORT);
    pass(20);
    const uint64_t within = now() - 10 * MS;
    cprof_loop_waits(loop);
    cprof_loop_holds(loop, 3, 2);
    assert_true(loops_turn(own_tid(), within, &open) >= LOOP_10MS && !open);
    assert_int_equal(loops_turn(own_tid(), began + 20 * MS, &open), LOOP_SHORT);
    loops_close_interval();
    const struct loop_figures figures = only();
    assert_true(figures.resources && figures.handles == 3 && figures.requests == 2);
    assert_true(figures.idle_ns >= 40 * MS && figures.active_ns >= 20 * MS);
    assert_true(figures.max_ns >= 20 * MS && figures.max_ns < figures.active_ns + MS);
    cprof_loop_leave(loop);
    assert_false(only().resources);
    loops_close();
}

static void a_turn_that_does_not_end_shows_while_it_lasts(void **state)
{
    (void)state;
    bool open;
    loops_open();
    struct cprof_loop *loop = cprof_loop_enter(&plain);
    const uint64_t began = now();
    pass(30);
    loops_close_interval();
    assert_true(only().max_ns >= 30 * MS && only().p50_ns >= 10 * MS);
    pass(1000);
    assert_int_equal(loops_turn(own_tid(), began + MS, &open), LOOP_1S);
    assert_false(open); /* no longer word is to come */
    assert_true(only().max_ns >= 1030 * MS);
    cprof_loop_leave(loop);
    loops_close();
}

static void loops_of_another_run_are_no_more(void **state)
{
    (void)state;
    struct loop_figures all[LOOPS_MAX];
    loops_open();
    struct cprof_loop *loop = cprof_loop_enter(&plain);
    cprof_loop_waits(loop);
    loops_close();
    assert_null(cprof_loop_enter(&plain));
    loops_open();
    assert_false(cprof_loop_is_current(loop));
    assert_int_equal(loops_read(all), 0);
    assert_false(loops_any());
    cprof_loop_waits(loop);
    cprof_loop_leave(loop);
    assert_int_equal(loops_read(all), 0);
    struct cprof_loop *next = cprof_loop_enter(&plain);
    assert_true(cprof_loop_is_current(next));
    cprof_loop_leave(next);
    assert_ptr_equal(cprof_loop_enter(&plain), next); /* the thread's own goes on */
    assert_int_equal(loops_read(all), 1);
    loops_fork_child();
    assert_int_equal(loops_read(all), 0);
    cprof_loop_waits(next);
    cprof_loop_leave(next);
}

static void too_many_loops_are_not_followed(void **state)
{
    (void)state;
    struct cprof_loop *entered[LOOPS_MAX];
    loops_open();
    for (size_t i = 0; i < LOOPS_MAX; i++)
        assert_non_null(entered[i] = cprof_loop_enter(&plain));
    assert_null(cprof_loop_enter(&plain));
    for (size_t i = 0; i < LOOPS_MAX; i++)
        cprof_loop_leave(entered[i]);
    struct cprof_loop *again = cprof_loop_enter(&plain);
    assert_non_null(again);
    cprof_loop_leave(again);
    loops_close();
}

/* Under TSan: whoever reads meanwhile. */
static void *enter_and_end(void *tid)
{
    *(pid_t *)tid = own_tid();
    return cprof_loop_enter(&plain);
}

static void loops_of_threads_that_ended_make_room(void **state)
{
    (void)state;
    loops_open();
    for (size_t i = 0; i < LOOPS_MAX; i++) {
        pthread_t thread;
        pid_t tid;
        void *loop;
        pthread_create(&thread, NULL, enter_and_end, &tid);
        pthread_join(thread, &loop);
        assert_non_null(loop);
        while (syscall(SYS_tgkill, getpid(), tid, 0) == 0)
            continue; /* for the kernel it ends a little later */
    }
    struct cprof_loop *again = cprof_loop_enter(&plain);
    assert_non_null(again);
    cprof_loop_leave(again);
    loops_close();
}

static void *read_on(void *closure)
{
    atomic_bool *over = closure;
    while (!atomic_load(over)) {
        bool open;
        struct loop_figures all[LOOPS_MAX];
        (void)loops_turn(getpid(), now(), &open);
        loops_close_interval();
        const size_t count = loops_read(all);
        assert_true(count <= 1);
        if (count == 1)
            assert_true(all[0].active_ns + all[0].idle_ns < 60000 * MS);
    }
    return NULL;
}

static void readers_meet_turns_that_end_and_loops_that_come_and_go(void **state)
{
    (void)state;
    pthread_t reader;
    atomic_bool over = false;
    loops_open();
    pthread_create(&reader, NULL, read_on, &over);
    for (int i = 0; i < 50; i++) {
        struct cprof_loop *loop = cprof_loop_enter(&plain);
        for (int turn = 0; turn < 200; turn++) {
            cprof_loop_waits(loop);
            cprof_loop_wakes(loop);
        }
        cprof_loop_leave(loop);
    }
    atomic_store(&over, true);
    pthread_join(reader, NULL);
    loops_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_of_300_ms_a_second_has_the_delays_that_it_makes),
        cmocka_unit_test(short_turns_make_no_long_delays),
        cmocka_unit_test(lengths_of_all_kinds_have_a_class),
        cmocka_unit_test(a_moment_belongs_to_the_turn_it_was_in),
        cmocka_unit_test(a_loop_may_count_its_waiting_itself),
        cmocka_unit_test(a_turn_that_does_not_end_shows_while_it_lasts),
        cmocka_unit_test(loops_of_another_run_are_no_more),
        cmocka_unit_test(too_many_loops_are_not_followed),
        cmocka_unit_test(loops_of_threads_that_ended_make_room),
        cmocka_unit_test(readers_meet_turns_that_end_and_loops_that_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
