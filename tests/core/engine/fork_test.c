/* fork(2) while the engine runs: announced, unannounced, and amid starts and stops. */
#include "running.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/own_thread.h"
#include "collect/collector.h"
#include "engine/later.h"
#include "format/format.h"

static void child_of_fork(void)
{
    cprof_fork_child();
    bool good = cprof_is_running();
    burn_three(1.0);
    good = good && cprof_stop(60) == 0;
    _exit(good ? 0 : 1);
}

static void a_forked_child_profiles_itself_and_its_parent_goes_on(void **state)
{
    (void)state;
    start(NULL, 100);
    double seven = burn_to_a_sample(burn_seven, 0.5);
    cprof_fork_prepare();
    pid_t child = fork();
    if (child == 0)
        child_of_fork();
    cprof_fork_parent();
    seven += burn_to_a_sample(burn_seven, 0.5);
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    struct profile *p = stop_and_read();
    assert_close(seconds_in(p, "burn_seven", NULL, NULL), seven, 0.06);
    assert_true(seconds_in(p, "burn_three", NULL, NULL) == 0);
    profile_free(p);
    snprintf(output, sizeof output, "%s/out.%ld.pb.gz", directory, (long)child);
    p = format_read_file(output, error);
    assert_non_null(p);
    assert_close(seconds_in(p, "burn_three", NULL, NULL), 0.3, 0.05);
    assert_true(seconds_in(p, "burn_seven", NULL, NULL) == 0);
    profile_free(p);
}

static void a_child_that_nobody_announced_stays_dormant(void **state)
{
    (void)state;
    start(NULL, 100);
    burn_seven(0.2);
    pid_t child = fork();
    if (child == 0) {
        bool good =
            !cprof_is_running() && cprof_stop(60) == -ENOENT && cprof_flush(60) == -ENOENT;
        burn_three(0.5);
        const struct cprof_options options = {.exporter = "none"};
        good = good && cprof_start(&options, NULL, error, sizeof error) == 0;
        burn_three(0.5);
        good = good && cprof_stop(60) == 0;
        struct cprof_stats stats;
        cprof_stats(&stats);
        _exit(good && stats.samples > 10 && stats.samples < 20 ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    profile_free(stop_and_read());
}

/* gunicorn's post_fork, among others, runs before our own hook or after it. */
static int start_in_child(void)
{
    const struct cprof_options options = {.exporter = "none"};
    bool joined = cprof_start(&options, NULL, error, sizeof error) == CPROF_JOINED;
    cprof_fork_child();
    joined &= cprof_start(&options, NULL, error, sizeof error) == CPROF_JOINED;
    burn_three(1.0);
    return joined && cprof_end(60) == 0 ? 0 : 1;
}

static void a_start_in_a_forked_child_joins_its_engine(void **state)
{
    (void)state;
    start(NULL, 100);
    cprof_fork_prepare();
    pid_t child = fork();
    if (child == 0)
        _exit(start_in_child());
    cprof_fork_parent();
    burn_seven(0.1);
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    profile_free(stop_and_read());
    snprintf(output, sizeof output, "%s/out.%ld.pb.gz", directory, (long)child);
    struct profile *p = format_read_file(output, error);
    assert_non_null(p);
    assert_close(seconds_in(p, "burn_three", NULL, NULL), 0.3, 0.05);
    profile_free(p);
}

/* A child that a busy machine holds up for so long that its start is due says nothing. */
enum { GOOD, BAD, TOO_SLOW };

static int end_at_once(void)
{
    uint64_t began = clock_ns(CLOCK_MONOTONIC);
    cprof_fork_child();
    bool good = cprof_is_running() && !own_thread_exists(COLLECTOR_THREAD);
    bool early = !later_is_due();
    good &= cprof_end(60) == 0 && !cprof_is_running() && !own_thread_exists(COLLECTOR_THREAD);
    early &= !later_is_due() && clock_ns(CLOCK_MONOTONIC) - began < LATER_WALL_NS;
    return !early ? TOO_SLOW : good ? GOOD : BAD;
}

static void a_child_that_ends_at_once_has_started_nothing(void **state)
{
    (void)state;
    start(NULL, 100);
    int status = TOO_SLOW;
    pid_t child = 0;
    for (int tries = 0; tries < 50 && status == TOO_SLOW; tries++) {
        cprof_fork_prepare();
        child = fork();
        if (child == 0)
            _exit(end_at_once());
        cprof_fork_parent();
        waitpid(child, &status, 0);
        assert_true(WIFEXITED(status));
        status = WEXITSTATUS(status);
    }
    assert_int_equal(cprof_stop(60), 0);
    if (status == TOO_SLOW)
        skip();
    assert_int_equal(status, GOOD);
    snprintf(output, sizeof output, "%s/out.%ld.pb.gz", directory, (long)child);
    assert_int_equal(access(output, F_OK), -1);
}

/* As much again as the start is put off by, whether it comes in time or, where the machine is
 * busy, at the very end. */
static int count_what_has_run(void)
{
    cprof_fork_child();
    burn_three((double)(2 * LATER_CPU_NS) / 0.3e9);
    int status = cprof_end(60);
    double ran = (double)clock_ns(CLOCK_THREAD_CPUTIME_ID) / 1e9;
    struct cprof_stats stats;
    cprof_stats(&stats);
    double counted = (double)stats.samples / 1000;
    /* What the end takes is not sampled; the first sample is due at random in its period. */
    return status == 0 && counted > (double)(2 * LATER_CPU_NS) / 1e9 - 0.002 &&
                   counted < ran + 0.002
               ? GOOD
               : BAD;
}

static void what_a_child_runs_before_its_start_is_counted(void **state)
{
    (void)state;
    start(NULL, 1000);
    assert_int_equal(cprof_flush(60), 0);
    for (int i = 0; i < 10; i++) {
        int status;
        cprof_fork_prepare();
        pid_t child = fork();
        if (child == 0)
            _exit(count_what_has_run());
        cprof_fork_parent();
        waitpid(child, &status, 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == GOOD);
    }
    profile_free(stop_and_read());
}

/* The hooks around fork are there from the first attempt on. */
static void a_program_whose_start_failed_forks_as_ever(void **state)
{
    (void)state;
    const struct cprof_options options = {.output = "/no/such/folder/out.pb.gz"};
    int status;
    assert_true(cprof_start(&options, NULL, error, sizeof error) < 0);
    pid_t child = fork();
    if (child == 0)
        _exit(7);
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

/* ---- amid what another thread does ---- */

/* The status of a child that does this. */
static int fork_and_wait(bool announced, int (*what)(void))
{
    if (announced)
        cprof_fork_prepare();
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        _exit(what());
    }
    if (announced)
        cprof_fork_parent();
    int status = -1;
    waitpid(child, &status, 0);
    return status;
}

struct other {
    _Atomic bool going;
    pthread_t thread;
};

static void begin_other(struct other *other, void *(*what)(void *going))
{
    other->going = true;
    pthread_create(&other->thread, NULL, what, &other->going);
}

static void end_other(struct other *other)
{
    other->going = false;
    pthread_join(other->thread, NULL);
}

static void *start_and_stop_often(void *going)
{
    const struct cprof_options options = {.exporter = "none"};
    while (*(_Atomic bool *)going) {
        if (cprof_start(&options, NULL, error, sizeof error) == 0)
            cprof_stop(5);
    }
    return NULL;
}

static int stop_in_child(void)
{
    cprof_fork_child();
    cprof_stop(1);
    return 0;
}

static void forks_amid_starts_and_stops_hang_nobody(void **state)
{
    (void)state;
    struct other other;
    begin_other(&other, start_and_stop_often);
    for (int i = 0; i < 100; i++)
        assert_true(WIFEXITED(fork_and_wait(true, stop_in_child)));
    end_other(&other);
}

static void *ask_for_local_time(void *going)
{
    const time_t now = time(NULL);
    struct tm local;
    while (*(_Atomic bool *)going)
        localtime_r(&now, &local);
    return NULL;
}

static int go_on_in_child(void)
{
    cprof_fork_child();
    return cprof_flush(15) == 0 && cprof_is_running() ? 0 : 1; /* it starts for the flush */
}

/* The C library's lock of the time zone stays held in the child for good. */
static void a_child_forked_while_another_thread_logs_starts(void **state)
{
    (void)state;
    struct other other;
    start(NULL, 100);
    begin_other(&other, ask_for_local_time);
    for (int i = 0; i < 20; i++)
        assert_int_equal(fork_and_wait(true, go_on_in_child), 0);
    end_other(&other);
    assert_int_equal(cprof_stop(60), 0); /* it may have no sample, and then no file */
}

/* Sockets that connections can be made to. */
static int listeners(void)
{
    int count = 0;
    for (int file = 3; file < 256; file++) {
        int listens = 0;
        socklen_t size = sizeof listens;
        getsockopt(file, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size);
        count += listens != 0;
    }
    return count;
}

/* The listener's socket would keep its address taken for as long as the child lives. */
static void a_fork_amid_starts_and_stops_takes_no_socket_along(void **state)
{
    (void)state;
    char address[80];
    struct other other;
    snprintf(address, sizeof address, "unix:%s/pull.sock", directory);
    setenv("CPROF_LISTEN", address, 1);
    begin_other(&other, start_and_stop_often);
    for (int i = 0; i < 200; i++)
        assert_int_equal(fork_and_wait(i % 2 == 0, listeners), 0);
    end_other(&other);
    unsetenv("CPROF_LISTEN");
}

static pthread_mutex_t binding_lock = PTHREAD_MUTEX_INITIALIZER;

static void lock_binding(void)
{
    pthread_mutex_lock(&binding_lock);
}

static void unlock_binding(void)
{
    pthread_mutex_unlock(&binding_lock);
}

/* Nearly always: the pause lets a fork in that waits, which would else find it taken again. */
static void *use_binding(void *going)
{
    const struct timespec pause = {.tv_nsec = 1};
    while (*(_Atomic bool *)going) {
        lock_binding();
        burn_until(CLOCK_MONOTONIC, 0.0005);
        unlock_binding();
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static int find_binding_locked(void)
{
    return pthread_mutex_trylock(&binding_lock) == 0 ? 0 : 1;
}

/* It goes on with the interpreter, and may set labels. */
static void a_child_that_nobody_announced_finds_no_lock_held(void **state)
{
    (void)state;
    const struct cprof_runtime locking = {
        .name = "fake", .fork_lock = lock_binding, .fork_unlock = unlock_binding};
    struct other other;
    start(&locking, 100);
    begin_other(&other, use_binding);
    for (int i = 0; i < 200; i++)
        assert_int_equal(fork_and_wait(false, find_binding_locked), 0);
    end_other(&other);
    profile_free(stop_and_read());
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(a_forked_child_profiles_itself_and_its_parent_goes_on),
        TEST(a_child_that_ends_at_once_has_started_nothing),
        TEST(what_a_child_runs_before_its_start_is_counted),
        TEST(a_child_that_nobody_announced_stays_dormant),
        TEST(a_start_in_a_forked_child_joins_its_engine),
        TEST(a_program_whose_start_failed_forks_as_ever),
        TEST(forks_amid_starts_and_stops_hang_nobody),
        TEST(a_child_forked_while_another_thread_logs_starts),
        TEST(a_fork_amid_starts_and_stops_takes_no_socket_along),
        TEST(a_child_that_nobody_announced_finds_no_lock_held),
    };
    return RUN(tests, argc, argv);
}
