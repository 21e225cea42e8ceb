/* Allocations that a runtime's hook counts, by the whole engine: how many, how large, from
 * where, and which of them live on. The allocator is the test's own and allocates nothing. */
#include "running.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cprof/sample.h"
#include "format/format.h"

static atomic_bool hooked;
static _Atomic uintptr_t last_block = 1 << 20;

static int hooks_in(const char **why)
{
    (void)why;
    hooked = true;
    return 0;
}

static void hooks_out(void)
{
    hooked = false;
}

static const struct cprof_runtime runtime = {
    .name = "test", .alloc_open = hooks_in, .alloc_close = hooks_out};

NEVER_INLINED static void *allocate(size_t size)
{
    void *block = (void *)(atomic_fetch_add(&last_block, 1) * 16);
    uint64_t period = hooked ? cprof_due(CPROF_EVENT_ALLOC, size) : 0;
    if (period != 0) {
        const struct cprof_registers caller = cprof_caller();
        (void)cprof_take(CPROF_EVENT_ALLOC, period, size, block, &caller);
    }
    return block;
}

static void release(void *block)
{
    if (hooked)
        cprof_freed(block);
}

enum { SMALL = 48, LARGE = 200000 };

NEVER_INLINED static void *allocate_small(void)
{
    void *block = allocate(SMALL);
    sink++;
    return block;
}

NEVER_INLINED static void *allocate_large(void)
{
    void *block = allocate(LARGE);
    sink++;
    return block;
}

static void begin(const char *types)
{
    setenv("CPROF_TYPES", types, 1);
    start(&runtime, 0);
    unsetenv("CPROF_TYPES");
}

static void pause_ms(long ms)
{
    const struct timespec pause = {.tv_nsec = ms * 1000000};
    nanosleep(&pause, NULL);
}

/* 96 MB in small blocks and 100 in large ones, in a second. */
enum { TURNS = 100, SMALL_A_TURN = 20000, LARGE_A_TURN = 5 };

static void allocate_in_turns(void *kept[], size_t *count)
{
    *count = 0;
    for (int turn = 0; turn < TURNS; turn++) {
        for (int i = 0; i < SMALL_A_TURN; i++)
            release(allocate_small());
        for (int i = 0; i < LARGE_A_TURN; i++)
            kept[(*count)++] = allocate_large();
        pause_ms(8);
    }
}

static void bytes_and_objects_are_those_of_the_program(void **state)
{
    (void)state;
    static void *kept[TURNS * LARGE_A_TURN];
    size_t count;
    begin("alloc@256k,heap");
    allocate_in_turns(kept, &count);
    struct cprof_stats stats;
    assert_int_equal(cprof_flush(10), 0);
    cprof_stats(&stats);
    struct profile *p = stop_and_read();
    assert_false(hooked);
    double small = TURNS * SMALL_A_TURN, large = TURNS * LARGE_A_TURN;
    /* Some 370 samples of the small ones, 270 of the large: five standard deviations. */
    assert_close(total(p, "alloc_objects", "allocate_small") / small, 1, 0.27);
    assert_close(total(p, "alloc_space", "allocate_small") / (small * SMALL), 1, 0.27);
    assert_close(total(p, "alloc_objects", "allocate_large") / large, 1, 0.25);
    assert_close(total(p, "alloc_space", "allocate_large") / (large * LARGE), 1, 0.25);
    /* The large ones live, the small ones do not. */
    assert_close(total(p, "inuse_space", "allocate_large"),
                 total(p, "alloc_space", "allocate_large"), 1);
    assert_close(total(p, "inuse_objects", "allocate_large"),
                 total(p, "alloc_objects", "allocate_large"), 1);
    assert_true(total(p, "inuse_space", "allocate_small") == 0);
    /* The figures are the sums of the profile. */
    assert_close((double)stats.alloc_bytes, total(p, "alloc_space", NULL), 1);
    assert_close((double)stats.heap_bytes, total(p, "inuse_space", NULL), 1);
    assert_true(stats.resident_bytes > 1 << 20);
    /* The hook is no frame of the program's. */
    assert_true(total(p, "alloc_space", "allocate") == 0);
    profile_free(p);
}

static void what_is_freed_is_gone_and_what_stays_is_said_of_each_interval(void **state)
{
    (void)state;
    void *blocks[300];
    setenv("CPROF_INTERVAL", "1", 1);
    begin("heap@1k");
    for (int i = 0; i < 300; i++) {
        blocks[i] = allocate_large(); /* each is sampled */
        if (i % 50 == 0)
            pause_ms(5);
    }
    assert_int_equal(cprof_flush(10), 0);
    for (int i = 0; i < 200; i++)
        release(blocks[i]);
    assert_int_equal(cprof_flush(10), 0);
    struct profile *p = stop_and_read();
    unsetenv("CPROF_INTERVAL");
    assert_int_equal(profile_value_column(p, "alloc_space"), -1);
    assert_close(total(p, "inuse_objects", "allocate_large"), 100, 0.5);
    assert_close(total(p, "inuse_space", NULL), 100.0 * LARGE, 0.5);
    profile_free(p);
}

NEVER_INLINED static void *allocate_in_child(void)
{
    void *block = allocate(LARGE);
    sink += 2; /* or the compiler would make one function of two */
    return block;
}

static void child_of_fork(void *const blocks[])
{
    cprof_fork_child();
    for (int i = 0; i < 30; i++)
        release(blocks[i]); /* before it has a heap of its own */
    bool good = cprof_flush(20) == 0;
    for (int i = 30; i < 40; i++)
        release(blocks[i]);
    for (int i = 0; i < 20; i++)
        (void)allocate_in_child();
    good = good && cprof_stop(60) == 0;
    _exit(good ? 0 : 1);
}

static void a_forked_child_has_the_heap_that_it_has_inherited(void **state)
{
    (void)state;
    void *blocks[100];
    begin("heap@1k");
    for (int i = 0; i < 60; i++)
        blocks[i] = allocate_large();
    assert_int_equal(cprof_flush(10), 0); /* these are of an older interval, */
    pause_ms(50);
    for (int i = 60; i < 100; i++)
        blocks[i] = allocate_large();
    pause_ms(600); /* and those of the running one */
    cprof_fork_prepare();
    pid_t child = fork();
    if (child == 0)
        child_of_fork(blocks);
    cprof_fork_parent();
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    struct profile *p = stop_and_read();
    assert_close(total(p, "inuse_objects", "allocate_large"), 100, 0.5);
    assert_true(total(p, "inuse_objects", "allocate_in_child") == 0);
    profile_free(p);
    snprintf(output, sizeof output, "%s/out.%ld.pb.gz", directory, (long)child);
    p = format_read_file(output, error);
    assert_non_null(p);
    assert_close(total(p, "inuse_objects", "allocate_large"), 60, 0.5);
    assert_close(total(p, "inuse_space", "allocate_large"), 60.0 * LARGE, 0.5);
    assert_close(total(p, "inuse_objects", "allocate_in_child"), 20, 0.5);
    profile_free(p);
}

/* A signal's handler finds hooks at work at any place in them. */
static void cpu_time_is_whole_though_signals_meet_takes(void **state)
{
    (void)state;
    begin("cpu@1000hz,alloc@1k");
    double before = cpu_seconds();
    uint64_t end = clock_ns(CLOCK_THREAD_CPUTIME_ID) + NS_PER_SECOND / 2;
    while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < end)
        release(allocate_small());
    double spent = cpu_seconds() - before;
    struct profile *p = stop_and_read();
    assert_close(total(p, "cpu", NULL) / 1e9 / spent, 1, 0.1);
    profile_free(p);
}

static atomic_uint ticks;

static void count_tick(const struct cprof_interrupted *thread)
{
    atomic_fetch_add(&ticks, thread->ucontext != NULL);
}

static const struct cprof_runtime ticking = {
    .name = "test", .alloc_open = hooks_in, .alloc_close = hooks_out, .tick = count_tick};

enum { PART = 4 };

NEVER_INLINED static void allocate_of_a_part(void)
{
    uint64_t period = cprof_due(CPROF_EVENT_ALLOC, SMALL * PART);
    const struct cprof_registers caller = cprof_caller();
    if (period != 0)
        (void)cprof_take_for(PART, CPROF_EVENT_ALLOC, period / PART, SMALL, CPROF_BLOCK_UNKNOWN,
                             &caller);
    sink++;
}

/* Every fourth is seen, in a second: some 180 samples, of which none is thinned out. The timers
 * tick, and what they find is no sample of anything. */
static void a_hook_that_sees_a_part_stands_for_all_and_is_told_of_the_time(void **state)
{
    (void)state;
    setenv("CPROF_TYPES", "alloc@512k", 1);
    start(&ticking, 0);
    unsetenv("CPROF_TYPES");
    enum { SEEN_A_TURN = 5000 };
    const double seen = TURNS * SEEN_A_TURN;
    for (int turn = 0; turn < TURNS; turn++) {
        for (int i = 0; i < SEEN_A_TURN; i++)
            allocate_of_a_part();
        pause_ms(8);
    }
    atomic_store(&ticks, 0);
    burn_three(0.3);
    assert_true(atomic_load(&ticks) > 3);
    struct profile *p = stop_and_read();
    assert_int_equal(profile_value_column(p, "cpu"), -1);
    /* Five standard deviations. */
    assert_close(total(p, "alloc_objects", NULL) / (seen * PART), 1, 0.37);
    assert_close(total(p, "alloc_space", NULL) / (seen * PART * SMALL), 1, 0.37);
    assert_true(total(p, "alloc_objects", "burn_three") == 0);
    profile_free(p);
}

static void errno_is_as_it_was(void **state)
{
    (void)state;
    begin("alloc@1k");
    errno = 77;
    for (int i = 0; i < 200; i++)
        (void)allocate_large();
    assert_int_equal(errno, 77);
    profile_free(stop_and_read());
}

static void a_period_that_is_too_small_is_one_line(void **state)
{
    (void)state;
    const struct cprof_options few = {.output = output, .types = "alloc@512"};
    assert_int_equal(cprof_start(&few, &runtime, error, sizeof error), -EINVAL);
    assert_non_null(strstr(error, "alloc takes a size from 1k to 1g"));
    const struct cprof_options none = {.output = output, .types = "heap@much"};
    assert_int_equal(cprof_start(&none, &runtime, error, sizeof error), -EINVAL);
    assert_non_null(strstr(error, "heap takes a size from 1k to 1g"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_and_objects_are_those_of_the_program),
        TEST(what_is_freed_is_gone_and_what_stays_is_said_of_each_interval),
        TEST(a_forked_child_has_the_heap_that_it_has_inherited),
        TEST(cpu_time_is_whole_though_signals_meet_takes),
        TEST(a_hook_that_sees_a_part_stands_for_all_and_is_told_of_the_time),
        TEST(errno_is_as_it_was),
        TEST(a_period_that_is_too_small_is_one_line),
    };
    return RUN(tests, argc, argv);
}
