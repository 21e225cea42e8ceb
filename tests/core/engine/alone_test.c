/* A process ends with the program's last thread: cprof's own threads do not keep it. */
#include "running.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "format/format.h"

/* What the child and its C library have written before the end. */
static int said[2];

static bool in_child;

/* LeakSanitizer asks. What a thread that has ended left behind is no leak of the children's:
 * the main thread's stack, through which the test framework holds its own, is not looked at any
 * more. */
__attribute__((visibility("default"))) int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return in_child;
}

static void say(char letter)
{
    ssize_t written = write(said[1], &letter, 1);
    (void)written;
}

static void say_bye(void)
{
    say('x');
}

/* A child that runs this, with cprof, on its only thread. What it says ends up in `text`; the
 * status is -1 when it does not end. */
static int status_of(void (*child)(void), char *text, size_t size)
{
    int status = -1;
    assert_int_equal(pipe(said), 0);
    pid_t pid = fork();
    if (pid == 0) {
        in_child = true;
        atexit(say_bye);
        child();
        pthread_exit(NULL);
    }
    close(said[1]);
    uint64_t end = clock_ns(CLOCK_MONOTONIC) + 30 * NS_PER_SECOND;
    while (waitpid(pid, &status, WNOHANG) == 0 && clock_ns(CLOCK_MONOTONIC) < end)
        usleep(1000);
    if (kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid)
        status = -1;
    ssize_t length = read(said[0], text, size - 1);
    text[length > 0 ? length : 0] = '\0';
    close(said[0]);
    return status;
}

static void start_thread(void *(*run)(void *), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, argument) != 0)
        _exit(99);
    pthread_detach(thread);
}

static void *burn_and_end(void *unused)
{
    burn_three(1.0);
    return unused;
}

static void leave_a_thread_behind(void)
{
    start(NULL, 100);
    start_thread(burn_and_end, NULL);
}

static void the_last_thread_ends_the_process_and_its_profile_is_whole(void **state)
{
    (void)state;
    char text[16];
    assert_int_equal(status_of(leave_a_thread_behind, text, sizeof text), 0);
    assert_string_equal(text, "x"); /* as exit() does */
    struct profile *p = format_read_file(output, error);
    assert_non_null(p);
    assert_close(seconds_in(p, "burn_three", NULL, NULL), 0.3, 0.05);
    profile_free(p);
}

static void end_with_the_main_thread(void)
{
    start(NULL, 100);
}

static void a_process_that_had_one_thread_ends(void **state)
{
    (void)state;
    char text[16];
    assert_int_equal(status_of(end_with_the_main_thread, text, sizeof text), 0);
    assert_string_equal(text, "x");
}

static void *sleep_for_a_while(void *unused)
{
    usleep(1500000);
    say('w');
    return unused;
}

static void leave_a_sleeper(void)
{
    start(NULL, 100);
    start_thread(sleep_for_a_while, NULL);
}

static void a_thread_that_goes_on_keeps_the_process(void **state)
{
    (void)state;
    char text[16];
    assert_int_equal(status_of(leave_a_sleeper, text, sizeof text), 0);
    assert_string_equal(text, "wx");
}

/* One thread at any time, and never the same. */
static void *hand_over(void *left)
{
    if ((intptr_t)left > 0)
        start_thread(hand_over, (void *)((intptr_t)left - 1));
    else
        say('w');
    return NULL;
}

static void leave_a_chain(void)
{
    start(NULL, 100);
    start_thread(hand_over, (void *)(intptr_t)20000);
}

static void threads_that_hand_over_to_each_other_keep_the_process(void **state)
{
    (void)state;
    char text[16];
    assert_int_equal(status_of(leave_a_chain, text, sizeof text), 0);
    assert_string_equal(text, "wx");
}

/* ---- a fork in a thread ---- */

static void *fork_and_return(void *unused)
{
    cprof_fork_prepare();
    pid_t pid = fork();
    if (pid == 0) {
        cprof_fork_child();
        return unused; /* the end of the child's only thread */
    }
    cprof_fork_parent();
    int status = -1;
    waitpid(pid, &status, 0);
    say(status == 0 ? 'g' : 'b');
    return unused;
}

static void fork_in_a_thread(void)
{
    pthread_t thread;
    start(NULL, 100);
    pthread_create(&thread, NULL, fork_and_return, NULL);
    pthread_join(thread, NULL);
    cprof_stop(60);
    exit(0);
}

static void a_child_that_a_thread_forked_ends(void **state)
{
    (void)state;
    char text[16];
    assert_int_equal(status_of(fork_in_a_thread, text, sizeof text), 0);
    assert_string_equal(text, "xgx"); /* the child's end, the thread, the parent's end */
}

/* ---- stops ---- */

static void stop_at_exit(void)
{
    say(cprof_stop(60) == -ENOENT ? 'n' : 'b');
}

static void leave_a_stop_at_exit(void)
{
    atexit(stop_at_exit);
    start(NULL, 100);
}

static void a_stop_at_exit_waits_for_nobody(void **state)
{
    (void)state;
    char text[16];
    assert_int_equal(status_of(leave_a_stop_at_exit, text, sizeof text), 0);
    assert_string_equal(text, "nx");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(the_last_thread_ends_the_process_and_its_profile_is_whole),
        TEST(a_process_that_had_one_thread_ends),
        TEST(a_thread_that_goes_on_keeps_the_process),
        TEST(threads_that_hand_over_to_each_other_keep_the_process),
        TEST(a_child_that_a_thread_forked_ends),
        TEST(a_stop_at_exit_waits_for_nobody),
    };
    return RUN(tests, argc, argv);
}
