/* What is burnt must be what the profile says, in total and in its parts. */
#include "running.h"

#include <pthread.h>

NEVER_INLINED static void burn_shortly(void)
{
    burn_until(CLOCK_THREAD_CPUTIME_ID, 0.005);
    sink++;
}

static void *seventy_thirty(void *name)
{
    pthread_setname_np(pthread_self(), name);
    /* The kernel gives samples at its ticks only, for all threads in step; each change of work
     * can so shift up to a period from one side to the other. Few changes, small error. */
    for (int i = 0; i < 3; i++) {
        burn_seven(0.5);
        burn_three(0.5);
    }
    return NULL;
}

static void cpu_time_and_its_split_are_those_of_the_threads(void **state)
{
    (void)state;
    start(NULL, 100);
    double before = cpu_seconds();
    static char names[4][16] = {"alpha", "beta", "gamma", "delta"};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, seventy_thirty, names[i]);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    double spent = cpu_seconds() - before;
    struct profile *p = stop_and_read();
    double all = seconds_in(p, NULL, NULL, NULL);
    double seven = seconds_in(p, "burn_seven", NULL, NULL);
    double three = seconds_in(p, "burn_three", NULL, NULL);
    assert_close(all / spent, 1, 0.025);
    assert_close(seven / (seven + three), 0.7, 0.03);
    assert_true(seven + three > 0.99 * all);
    /* Threads name themselves after they began: a second's part carries the first name. */
    for (int i = 0; i < 4; i++)
        assert_close(seconds_in(p, NULL, "thread.name", names[i]), 1.5, 0.35);
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

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(cpu_time_and_its_split_are_those_of_the_threads),
        TEST(threads_that_live_5_ms_are_represented_in_proportion),
    };
    return RUN(tests, argc, argv);
}
