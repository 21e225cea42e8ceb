/* Signals that end a process while the engine runs: it is asked for an end, and the process
 * dies of them whatever else happens. Each test is a process of its own. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "cprof/runtime.h"
#include "engine/terminate.h"
#include "running.h"

static _Atomic uint32_t wake;

/* The wait status of a child that runs `what`, which exits 0 when all is well. */
static int status_of(void (*what)(void))
{
    pid_t child = fork();
    if (child == 0) {
        signal(SIGTERM, SIG_DFL); /* whatever we inherited */
        signal(SIGINT, SIG_DFL);
        signal(SIGHUP, SIG_DFL);
        what();
        _exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return status;
}

/* In the child: ends it with the line's number when that is not so. */
#define CHECK(condition)                                                                       \
    do {                                                                                       \
        if (!(condition))                                                                      \
            _exit(__LINE__ % 255 + 1);                                                         \
    } while (0)

static void assert_killed_by(int signal, void (*what)(void))
{
    int status = status_of(what);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != signal)
        fail_msg("status %#x", (unsigned)status);
}

static void assert_killed(void (*what)(void))
{
    assert_killed_by(SIGTERM, what);
}

static void assert_exited(void (*what)(void))
{
    int status = status_of(what);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("status %#x: the line of a CHECK, modulo 255, + 1", (unsigned)status);
}

static void *disposition(void)
{
    struct sigaction now;
    CHECK(sigaction(SIGTERM, NULL, &now) == 0);
    return (void *)now.sa_handler;
}

static void sleep_for_ever(void)
{
    for (;;)
        pause();
}

/* ---- what happens to a program that does not handle it ---- */

static void be_asked(void)
{
    terminate_arm(&wake, NULL, 0);
    CHECK(disposition() != (void *)SIG_DFL);
    CHECK(!terminate_requested());
    uint32_t before = wake;
    errno = 4321;
    raise(SIGTERM);
    CHECK(errno == 4321);
    CHECK(terminate_requested());
    CHECK(wake != before);
    terminate_now();
}

static void the_signal_asks_and_the_end_is_death_by_it(void **state)
{
    (void)state;
    assert_killed(be_asked);
}

static void be_interrupted(void)
{
    terminate_arm(&wake, NULL, 0);
    raise(SIGINT);
    CHECK(terminate_requested());
    terminate_now();
}

static void be_hung_up(void)
{
    terminate_arm(&wake, NULL, 0);
    raise(SIGHUP);
    CHECK(terminate_requested());
    terminate_now();
}

static void it_dies_of_the_signal_that_came(void **state)
{
    (void)state;
    assert_killed_by(SIGINT, be_interrupted);
    assert_killed_by(SIGHUP, be_hung_up);
}

static void be_asked_in_two_ways(void)
{
    terminate_arm(&wake, NULL, 0);
    raise(SIGTERM);
    raise(SIGINT);
}

static void be_asked_twice(void)
{
    terminate_arm(&wake, NULL, 0);
    raise(SIGTERM);
    CHECK(terminate_requested());
    raise(SIGTERM);
}

static void a_second_signal_counts_at_once(void **state)
{
    (void)state;
    assert_killed(be_asked_twice);
    assert_killed_by(SIGINT, be_asked_in_two_ways);
}

static void be_forgotten(void)
{
    terminate_arm(&wake, NULL, 0);
    raise(SIGTERM);
    sleep_for_ever(); /* no collector comes */
}

static void where_nobody_answers_a_timer_ends_it(void **state)
{
    (void)state;
    uint64_t begin = clock_ns(CLOCK_MONOTONIC);
    assert_killed(be_forgotten);
    assert_true(clock_ns(CLOCK_MONOTONIC) - begin >= TERMINATE_GRACE * NS_PER_SECOND);
}

static void *block_and_end(void *unused)
{
    sigset_t all;
    (void)unused;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    terminate_now(); /* as the collector, whose signals are blocked */
    sleep_for_ever();
    return NULL;
}

static void be_ended_by_a_thread_that_blocks_it(void)
{
    pthread_t thread;
    sigset_t all;
    sigfillset(&all);
    terminate_arm(&wake, NULL, 0);
    pthread_sigmask(SIG_SETMASK, &all, NULL); /* nobody else takes it */
    pthread_create(&thread, NULL, block_and_end, NULL);
    pthread_join(thread, NULL);
}

static void a_thread_with_all_signals_blocked_can_end_it(void **state)
{
    (void)state;
    assert_killed(be_ended_by_a_thread_that_blocks_it);
}

/* ---- when the engine ends ---- */

static void end_quietly(void)
{
    for (int i = 0; i < 1000; i++) {
        terminate_arm(&wake, NULL, 0);
        terminate_disarm();
    }
    CHECK(disposition() == (void *)SIG_DFL);
    CHECK(!terminate_requested());
    terminate_disarm(); /* once more is nothing */
    CHECK(timers() == 0);
}

static void disarming_gives_the_default_back(void **state)
{
    (void)state;
    assert_exited(end_quietly);
}

static void be_asked_while_it_ends(void)
{
    terminate_arm(&wake, NULL, 0);
    raise(SIGTERM);
    terminate_disarm();
    CHECK(false);
}

static void what_came_meanwhile_takes_effect_at_the_end(void **state)
{
    (void)state;
    assert_killed(be_asked_while_it_ends);
}

/* ---- programs that look after it themselves ---- */

static _Atomic int handled;

static void handle(int signal)
{
    handled = signal;
}

static void handle_more(int signal, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    handled = signal;
}

static void check_left_alone(void)
{
    void *before = disposition();
    terminate_arm(&wake, NULL, 0);
    CHECK(disposition() == before);
    raise(SIGTERM);
    CHECK(!terminate_requested());
    terminate_disarm();
    CHECK(disposition() == before);
}

static void have_a_handler(void)
{
    signal(SIGTERM, handle);
    check_left_alone();
    CHECK(handled == SIGTERM);
}

static void have_a_handler_with_info(void)
{
    const struct sigaction own = {.sa_sigaction = handle_more, .sa_flags = SA_SIGINFO};
    sigaction(SIGTERM, &own, NULL);
    check_left_alone();
    CHECK(handled == SIGTERM);
}

static void ignore_it(void)
{
    signal(SIGTERM, SIG_IGN);
    check_left_alone();
}

static void take_it_later(void)
{
    terminate_arm(&wake, NULL, 0);
    signal(SIGTERM, handle);
    raise(SIGTERM);
    CHECK(handled == SIGTERM);
    CHECK(!terminate_requested());
    terminate_disarm();
    CHECK(disposition() == (void *)handle);
}

static void a_program_s_own_handler_is_left_alone(void **state)
{
    (void)state;
    assert_exited(have_a_handler);
    assert_exited(have_a_handler_with_info);
    assert_exited(ignore_it);
    assert_exited(take_it_later);
}

static void give_it_back(void)
{
    signal(SIGTERM, handle);
    terminate_arm(&wake, NULL, 0);
    CHECK(disposition() == (void *)handle);
    size_t lines = timers(); /* of two of the three */
    signal(SIGTERM, SIG_DFL);
    terminate_arm(&wake, NULL, 0); /* it has become free */
    CHECK(2 * timers() == 3 * lines);
    raise(SIGTERM);
    CHECK(terminate_requested());
    terminate_now();
}

static void what_a_program_gives_back_is_ours_again(void **state)
{
    (void)state;
    assert_killed(give_it_back);
}

/* ---- runtimes that end the process themselves ---- */

static void end_by_runtime(int signal)
{
    _exit(signal == SIGINT ? 42 : 1);
}

static bool is_runtime_s(int signal, const struct sigaction *handler)
{
    (void)signal;
    return handler->sa_handler == end_by_runtime;
}

static const struct cprof_runtime ending_runtime = {.ends_process = is_runtime_s};

static void end_as_the_runtime_does(void)
{
    signal(SIGINT, end_by_runtime);
    terminate_arm(&wake, &ending_runtime, 0);
    raise(SIGINT);
    CHECK(terminate_requested());
    terminate_now();
    CHECK(false);
}

static void the_end_is_the_runtime_s_where_that_has_a_handler_of_its_own(void **state)
{
    (void)state;
    int status = status_of(end_as_the_runtime_does);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 42)
        fail_msg("status %#x", (unsigned)status);
}

static void give_the_runtime_its_own_back(void)
{
    struct sigaction now;
    signal(SIGINT, end_by_runtime);
    terminate_arm(&wake, &ending_runtime, 0);
    terminate_disarm();
    CHECK(sigaction(SIGINT, NULL, &now) == 0 && now.sa_handler == end_by_runtime);
}

static void disarming_gives_the_runtime_its_handler_back(void **state)
{
    (void)state;
    assert_exited(give_the_runtime_its_own_back);
}

/* ---- children ---- */

static void die_as_a_child(void)
{
    terminate_arm(&wake, NULL, 0);
    pid_t child = fork(); /* its engine stays dormant */
    if (child == 0) {
        raise(SIGTERM);
        _exit(1);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    CHECK(!terminate_requested());
    terminate_disarm();
}

static void a_dormant_child_dies_of_it_at_once(void **state)
{
    (void)state;
    assert_exited(die_as_a_child);
}

static int raise_it(void *unused)
{
    (void)unused;
    kill(getpid(), SIGTERM);
    return 1;
}

/* As vfork: the child has our memory, and the handler must not write to it. */
static void die_with_shared_memory(void)
{
    static char stack[1 << 16] __attribute__((aligned(16)));
    terminate_arm(&wake, NULL, 0);
    uint32_t before = wake;
    pid_t child = clone(raise_it, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
    CHECK(child > 0);
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    CHECK(!terminate_requested() && wake == before);
    CHECK(disposition() != (void *)SIG_DFL);
    terminate_disarm();
}

static void a_child_that_shares_our_memory_asks_nothing_of_us(void **state)
{
    (void)state;
    assert_exited(die_with_shared_memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_signal_asks_and_the_end_is_death_by_it),
        cmocka_unit_test(it_dies_of_the_signal_that_came),
        cmocka_unit_test(a_second_signal_counts_at_once),
        cmocka_unit_test(where_nobody_answers_a_timer_ends_it),
        cmocka_unit_test(a_thread_with_all_signals_blocked_can_end_it),
        cmocka_unit_test(disarming_gives_the_default_back),
        cmocka_unit_test(what_came_meanwhile_takes_effect_at_the_end),
        cmocka_unit_test(a_program_s_own_handler_is_left_alone),
        cmocka_unit_test(what_a_program_gives_back_is_ours_again),
        cmocka_unit_test(the_end_is_the_runtime_s_where_that_has_a_handler_of_its_own),
        cmocka_unit_test(disarming_gives_the_runtime_its_handler_back),
        cmocka_unit_test(a_dormant_child_dies_of_it_at_once),
        cmocka_unit_test(a_child_that_shares_our_memory_asks_nothing_of_us),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
