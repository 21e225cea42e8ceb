/* What is burnt must be what the profile says, in total and in its parts. */
#include "running.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

NEVER_INLINED static void burn_shortly(void)
{
    burn_until(CLOCK_THREAD_CPUTIME_ID, 0.005);
    sink++;
}

struct shares {
    char name[16];
    double seven, three; /* seconds that it burned */
};

static void *seventy_thirty(void *argument)
{
    struct shares *shares = argument;
    pthread_setname_np(pthread_self(), shares->name);
    for (int i = 0; i < 3; i++) {
        shares->seven += burn_to_a_sample(burn_seven, 0.5);
        shares->three += burn_to_a_sample(burn_three, 0.5);
    }
    return NULL;
}

static void cpu_time_and_its_split_are_those_of_the_threads(void **state)
{
    (void)state;
    start(NULL, 100);
    double before = cpu_seconds();
    struct shares of[4] = {
        {.name = "alpha"}, {.name = "beta"}, {.name = "gamma"}, {.name = "delta"}};
    pthread_t threads[4];
    double burned_seven = 0, burned_three = 0;
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, seventy_thirty, &of[i]);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        burned_seven += of[i].seven;
        burned_three += of[i].three;
    }
    double spent = cpu_seconds() - before;
    struct profile *p = stop_and_read();
    double all = seconds_in(p, NULL, NULL, NULL);
    double seven = seconds_in(p, "burn_seven", NULL, NULL);
    double three = seconds_in(p, "burn_three", NULL, NULL);
    assert_close(all / spent, 1, 0.025);
    assert_close(seven / (seven + three), burned_seven / (burned_seven + burned_three), 0.03);
    assert_true(seven + three > 0.99 * all);
    /* Threads name themselves after they began: a second's part carries the first name. */
    for (int i = 0; i < 4; i++)
        assert_close(seconds_in(p, NULL, "thread.name", of[i].name), of[i].seven + of[i].three,
                     0.35);
    struct cprof_stats stats;
    cprof_stats(&stats);
    assert_int_equal(stats.samples_dropped, 0);
    assert_true(stats.samples_truncated * 200 <= stats.samples);
    assert_true(stats.samples_failed * 200 <= stats.samples);
    assert_true(stats.profiles_exported >= 1);
    profile_free(p);
}

static void *live_5_ms(void *unused)
{
    (void)unused;
    cprof_thread_enter(0, "short");
    burn_shortly();
    cprof_thread_leave();
    return NULL;
}

static void threads_that_live_5_ms_are_represented_in_proportion(void **state)
{
    (void)state;
    start(NULL, 100);
    double before = cpu_seconds();
    for (int i = 0; i < 600; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, live_5_ms, NULL);
        pthread_join(thread, NULL);
    }
    double spent = cpu_seconds() - before;
    struct profile *p = stop_and_read();
    /* 300 samples, give or take three standard deviations of a binomial distribution. */
    assert_close(seconds_in(p, "burn_shortly", NULL, NULL), 3.0, 0.5);
    assert_close(seconds_in(p, NULL, NULL, NULL), spent, 0.8); /* creation is not seen */
    profile_free(p);
}

enum { AT_ONCE = 32 };

static _Atomic uint64_t lived_ns; /* all that threads ran, which begin and end */

static void *live_for(void *seconds)
{
    cprof_thread_enter(0, "short");
    burn_until(CLOCK_THREAD_CPUTIME_ID, *(double *)seconds);
    cprof_thread_leave();
    atomic_fetch_add(&lived_ns, clock_ns(CLOCK_THREAD_CPUTIME_ID));
    return NULL;
}

/* Each thread that ends has some milliseconds of a period left, which the kernel does not tell:
 * they are due all the same. */
static void threads_of_any_length_lose_nothing(void **state)
{
    (void)state;
    static double lives[] = {0.001, 0.010, 0.075};
    for (size_t i = 0; i < sizeof lives / sizeof *lives; i++) {
        lived_ns = 0;
        start(NULL, 100);
        do {
            pthread_t threads[AT_ONCE];
            for (size_t k = 0; k < AT_ONCE; k++)
                assert_int_equal(pthread_create(&threads[k], NULL, live_for, &lives[i]), 0);
            for (size_t k = 0; k < AT_ONCE; k++)
                pthread_join(threads[k], NULL);
        } while (lived_ns < 1500000000);
        struct profile *p = stop_and_read();
        double lived = (double)lived_ns / 1e9;
        assert_close(seconds_in(p, NULL, "thread.name", "short"), lived, 0.04);
        profile_free(p);
    }
}

/* By a system call, as programs do that know nothing of the C library: glibc's functions would
 * leave its own signals out. */
static void mask_signals(int how)
{
    uint64_t all = ~UINT64_C(0);
    assert_int_equal(syscall(SYS_rt_sigprocmask, how, &all, NULL, sizeof all), 0);
}

static pthread_barrier_t has_run, may_end;

NEVER_INLINED static void burn_blocked(double seconds)
{
    mask_signals(SIG_BLOCK);
    burn_until(CLOCK_THREAD_CPUTIME_ID, seconds);
    mask_signals(SIG_UNBLOCK);
}

static void *block_for_good(void *unused)
{
    pthread_setname_np(pthread_self(), "for-good");
    mask_signals(SIG_BLOCK);
    burn_until(CLOCK_THREAD_CPUTIME_ID, 1.5);
    pthread_barrier_wait(&has_run);
    pthread_barrier_wait(&may_end);
    return unused;
}

static void *block_now_and_then(void *unused)
{
    pthread_setname_np(pthread_self(), "now-and-then");
    burn_blocked(0.7);
    for (int i = 0; i < 10; i++) {
        burn_until(CLOCK_THREAD_CPUTIME_ID, 0.02);
        burn_blocked(0.06);
    }
    pthread_barrier_wait(&has_run);
    pthread_barrier_wait(&may_end);
    return unused;
}

static void the_cpu_time_of_threads_that_block_all_signals_is_counted_once(void **state)
{
    (void)state;
    pthread_t good, then;
    pthread_barrier_init(&has_run, NULL, 3);
    pthread_barrier_init(&may_end, NULL, 3);
    pthread_setname_np(pthread_self(), "never");
    start(NULL, 100);
    assert_int_equal(pthread_create(&good, NULL, block_for_good, NULL), 0);
    assert_int_equal(pthread_create(&then, NULL, block_now_and_then, NULL), 0);
    burn_until(CLOCK_THREAD_CPUTIME_ID, 0.5);
    pthread_barrier_wait(&has_run);
    struct profile *p = stop_and_read();
    pthread_barrier_wait(&may_end);
    pthread_join(good, NULL);
    pthread_join(then, NULL);
    /* The name is known from a second look on: before it is the program's. */
    double blocked = seconds_in(p, "[signals blocked]", NULL, NULL);
    assert_close(seconds_in(p, NULL, NULL, NULL), 3.5, 0.07);
    /* What runs unblocked for less than a scan may not be seen to be. */
    assert_true(blocked > 1.4);
    assert_close(seconds_in(p, NULL, "thread.name", "never"), 0.5, 0.04);
    assert_true(seconds_in(p, "[signals blocked]", "thread.name", "never") == 0);
    profile_free(p);
}

enum { IDLE_THREADS = 10000, WORKING_THREADS = 4 };

static pthread_mutex_t idle_until = PTHREAD_MUTEX_INITIALIZER;

static void *wait_idly(void *unused)
{
    pthread_mutex_lock(&idle_until);
    pthread_mutex_unlock(&idle_until);
    return unused;
}

NEVER_INLINED static void *work_a_second(void *unused)
{
    burn_until(CLOCK_THREAD_CPUTIME_ID, 1.0);
    sink++;
    return unused;
}

/* As many as this machine lets a process have. */
static size_t start_idle_threads(pthread_t *ids, size_t count)
{
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, (size_t)64 << 10);
    size_t started = 0;
    while (started < count && pthread_create(&ids[started], &small, wait_idly, NULL) == 0)
        started++;
    pthread_attr_destroy(&small);
    return started;
}

static void ten_thousand_idle_threads_leave_those_that_run_their_buffers(void **state)
{
    (void)state;
    static pthread_t idle[IDLE_THREADS];
    pthread_t working[WORKING_THREADS];
    start(NULL, 100);
    pthread_mutex_lock(&idle_until);
    size_t count = start_idle_threads(idle, IDLE_THREADS);
    usleep(500 * 1000); /* found */
    for (size_t i = 0; i < WORKING_THREADS; i++)
        assert_int_equal(pthread_create(&working[i], NULL, work_a_second, NULL), 0);
    for (size_t i = 0; i < WORKING_THREADS; i++)
        pthread_join(working[i], NULL);
    struct cprof_stats stats;
    cprof_stats(&stats);
    pthread_mutex_unlock(&idle_until);
    for (size_t i = 0; i < count; i++)
        pthread_join(idle[i], NULL);
    struct profile *p = stop_and_read();
    assert_true(stats.threads >= count);
    assert_close(seconds_in(p, "work_a_second", NULL, NULL), 4.0, 0.08);
    assert_int_equal(stats.samples_dropped, 0);
    profile_free(p);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(cpu_time_and_its_split_are_those_of_the_threads),
        TEST(threads_that_live_5_ms_are_represented_in_proportion),
        TEST(threads_of_any_length_lose_nothing),
        TEST(the_cpu_time_of_threads_that_block_all_signals_is_counted_once),
        TEST(ten_thousand_idle_threads_leave_those_that_run_their_buffers),
    };
    return RUN(tests, argc, argv);
}
