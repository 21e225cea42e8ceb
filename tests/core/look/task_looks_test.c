/* Looks at tasks: what they waited is counted where they were found, and no more of them are
 * read than may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "look/task_looks.h"

enum { STACKS = 4 };

static struct {
    size_t tasks, read, calls; /* there are; were read; by so many looks */
    uint64_t waited_us[STACKS];
} world;

/* Of every two tasks one waits at each of two places; each third one runs. */
static size_t tasks(bool (*each)(void *closure, const struct cprof_task *task), void *closure,
                    bool twice)
{
    assert_true(twice);
    world.calls++;
    world.read = 0;
    for (size_t i = 0; i < world.tasks; i++) {
        const struct cprof_frame frame = {.token = 1 + i % 2};
        const struct cprof_task task = {
            .id = i, .name = "", .frames = &frame, .count = 1, .waits = i % 3 != 2};
        world.read++;
        if (!each(closure, &task))
            break;
    }
    return world.read;
}

static void place(void *closure, const struct record *record, struct thread_last *where)
{
    (void)closure;
    assert_int_equal(record->frame_count, 1);
    *where = (struct thread_last){.stack = (uint32_t)record_frames(record)->token};
}

static void waited(void *closure, const struct thread_last *where, uint32_t microseconds)
{
    (void)closure;
    assert_in_range(where->stack, 1, STACKS - 1);
    world.waited_us[where->stack] += microseconds;
}

static const struct task_looks_receiver receiver = {.place = place, .waited = waited};
static const struct cprof_asleep asleep = {.tasks = tasks};

static struct task_looks *open_looks(struct budget *budget, size_t count)
{
    const struct task_looks_config config = {
        .budget = budget, .asleep = &asleep, .period_ns = 1000000, .receiver = &receiver};
    memset(&world, 0, sizeof world);
    world.tasks = count;
    struct task_looks *looks = task_looks_new(&config);
    assert_non_null(looks);
    return looks;
}

static void rest(unsigned milliseconds)
{
    const struct timespec time = {.tv_nsec = (long)milliseconds * 1000000};
    nanosleep(&time, NULL);
}

static void every_task_has_waited_as_long_as_was_looked(void **state)
{
    struct budget budget = {.limit = 1 << 20};
    struct task_looks *looks = open_looks(&budget, 12);
    (void)state;
    task_looks_round(looks);
    memset(world.waited_us, 0, sizeof world.waited_us);
    uint64_t begin = clock_ns(CLOCK_MONOTONIC);
    for (int i = 0; i < 5; i++) {
        rest(2);
        task_looks_round(looks);
    }
    task_looks_settle(looks);
    uint64_t took = (clock_ns(CLOCK_MONOTONIC) - begin) / 1000;
    /* Four wait at each place, no longer than it took and from a bit before it. */
    assert_int_equal(world.waited_us[1], world.waited_us[2]);
    assert_in_range(world.waited_us[1], 4 * 10000, 4 * (took + 1000) + 4 * 100000);
    assert_int_equal(world.waited_us[1] % 4, 0);
    task_looks_free(looks);
    assert_int_equal(budget.used, 0);
}

static void what_has_not_run_is_not_read_again(void **state)
{
    struct budget budget = {.limit = 1 << 20};
    struct task_looks *looks = open_looks(&budget, 4);
    struct task_looks_counts counts;
    (void)state;
    for (int i = 0; i < 20; i++)
        task_looks_round(looks); /* the only thread is the one that looks */
    task_looks_count(looks, &counts);
    assert_int_equal(counts.taken, world.calls);
    assert_in_range(world.calls, 1, 10);
    task_looks_settle(looks);
    size_t before = world.calls;
    task_looks_round(looks); /* places do not outlive an interval */
    assert_int_equal(world.calls, before + 1);
    task_looks_free(looks);
}

static void too_many_are_not_all_read(void **state)
{
    struct budget budget = {.limit = 1 << 20};
    struct task_looks *looks = open_looks(&budget, 3 * TASKS_A_LOOK);
    struct task_looks_counts counts;
    (void)state;
    task_looks_round(looks);
    assert_int_equal(world.read, TASKS_A_LOOK + 1);
    task_looks_count(looks, &counts);
    assert_int_equal(counts.cut, 1);
    task_looks_free(looks);
}

static void what_finds_no_memory_is_counted(void **state)
{
    struct budget budget = {.limit = 1 << 20};
    struct task_looks *looks = open_looks(&budget, 12);
    struct task_looks_counts counts;
    (void)state;
    budget.limit = budget.used; /* there is none for places */
    task_looks_round(looks);
    task_looks_count(looks, &counts);
    assert_int_equal(counts.taken, 1);
    assert_int_equal(counts.cut, 1);
    budget.limit = 1 << 20;
    task_looks_settle(looks);
    task_looks_round(looks);
    task_looks_count(looks, &counts);
    assert_int_equal(counts.taken, 2);
    assert_int_equal(counts.cut, 1);
    task_looks_free(looks);
    assert_int_equal(budget.used, 0);
}

static void without_room_there_are_none(void **state)
{
    struct budget budget = {.limit = 64};
    const struct task_looks_config config = {
        .budget = &budget, .asleep = &asleep, .period_ns = 1000000, .receiver = &receiver};
    (void)state;
    assert_null(task_looks_new(&config));
    assert_int_equal(budget.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests_here[] = {
        cmocka_unit_test(every_task_has_waited_as_long_as_was_looked),
        cmocka_unit_test(what_has_not_run_is_not_read_again),
        cmocka_unit_test(too_many_are_not_all_read),
        cmocka_unit_test(what_finds_no_memory_is_counted),
        cmocka_unit_test(without_room_there_are_none),
    };
    return cmocka_run_group_tests(tests_here, NULL, NULL);
}
