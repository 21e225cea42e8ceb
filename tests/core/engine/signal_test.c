/* Programs that do something to all signals, or to ours, while they are sampled. */
#include "running.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sample/install.h"

#define LAST_SIGNAL 64

static void for_all_signals(void (*handler)(int))
{
    for (int number = 1; number <= LAST_SIGNAL; number++)
        if (number != SIGCHLD && number != SIGALRM)
            signal(number, handler); /* some can't be changed */
}

/* ---- a thread that burns beside the test's own ---- */

static _Atomic bool going;

static void *burn_on(void *unused)
{
    while (going)
        burn_three(0.05);
    return unused;
}

static void begin_burning(pthread_t *threads, size_t count)
{
    going = true;
    for (size_t i = 0; i < count; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, burn_on, NULL), 0);
}

static void end_burning(const pthread_t *threads, size_t count)
{
    going = false;
    for (size_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

/* ---- all signals ---- */

static void a_program_that_resets_all_signals_is_sampled_on(void **state)
{
    (void)state;
    pthread_t other;
    start(NULL, 100);
    begin_burning(&other, 1);
    for_all_signals(SIG_DFL);
    double seven = burn_to_a_sample(burn_seven, 1.0);
    end_burning(&other, 1);
    struct profile *p = stop_and_read();
    assert_close(seconds_in(p, "burn_seven", NULL, NULL), seven, 0.06);
    assert_true(seconds_in(p, "burn_three", NULL, NULL) > 0);
    profile_free(p);
}

static void forked_child(void)
{
    pthread_t other;
    cprof_fork_child();
    begin_burning(&other, 1);
    for_all_signals(SIG_DFL);
    burn_seven(0.05);
    end_burning(&other, 1);
    _exit(cprof_stop(60) == 0 ? 0 : 1);
}

static void children_that_reset_all_signals_live_on(void **state)
{
    (void)state;
    start(NULL, 1000);
    for (int i = 0; i < 60; i++) {
        int status;
        cprof_fork_prepare();
        pid_t child = fork();
        if (child == 0)
            forked_child();
        cprof_fork_parent();
        waitpid(child, &status, 0);
        assert_int_equal(status, 0);
    }
    cprof_stop(60);
}

static _Atomic unsigned received;

static void count(int number)
{
    (void)number;
    received++;
}

static void a_program_that_handles_all_signals_receives_none_of_ours(void **state)
{
    (void)state;
    start(NULL, 100);
    for_all_signals(count);
    double seven = burn_to_a_sample(burn_seven, 0.5);
    struct profile *p = stop_and_read();
    assert_close(seconds_in(p, "burn_seven", NULL, NULL), seven, 0.05);
    assert_int_equal(received, 0);
    profile_free(p);
}

static void all_signals_but_faults(sigset_t *set)
{
    sigfillset(set);
    sigdelset(set, SIGALRM);
}

/* The ways to wait for a signal of the set: its number. */
static int by_sigwait(const sigset_t *set)
{
    int number = 0;
    sigwait(set, &number);
    return number;
}

static int by_sigtimedwait(const sigset_t *set)
{
    const struct timespec long_time = {.tv_sec = 60};
    siginfo_t info;
    int number;
    while ((number = sigtimedwait(set, &info, &long_time)) < 0 && errno == EINTR)
        ;
    return number;
}

static int by_signalfd(const sigset_t *set)
{
    struct signalfd_siginfo info = {0};
    int fd = signalfd(-1, set, SFD_CLOEXEC);
    while (read(fd, &info, sizeof info) < 0 && errno == EINTR)
        ;
    close(fd);
    return (int)info.ssi_signo;
}

static int (*const ways[])(const sigset_t *) = {by_sigwait, by_sigtimedwait, by_signalfd};
static _Atomic int odd; /* a signal that nobody had sent */
static _Atomic unsigned waited;

/* What it does between two waits makes its timer expire. */
static void *wait_for_all(void *unused)
{
    sigset_t all;
    all_signals_but_faults(&all);
    for (size_t i = 0; i < 30; i++) {
        int number = ways[i % (sizeof ways / sizeof *ways)](&all);
        if (number != SIGUSR1)
            odd = number;
        burn_seven(0.03);
        waited++;
    }
    return unused;
}

static void wait_in_every_way(void)
{
    sigset_t all, before;
    pthread_t waiter;
    all_signals_but_faults(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    assert_int_equal(pthread_create(&waiter, NULL, wait_for_all, NULL), 0);
    for (unsigned sent = 0; sent < 30; sent++) {
        while (waited < sent)
            usleep(1000);
        pthread_kill(waiter, SIGUSR1);
    }
    pthread_join(waiter, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    assert_int_equal(odd, 0);
}

static void a_program_that_waits_for_all_signals_gets_what_was_sent(void **state)
{
    (void)state;
    start(NULL, 1000);
    wait_in_every_way();
    struct profile *p = stop_and_read(); /* and these threads are sampled */
    assert_close(seconds_in(p, "wait_for_all", NULL, NULL), 30 * 0.03 * 0.7, 0.1);
    profile_free(p);
}

/* Returns how long, in *seconds. Nobody hears of its end, so it ends right after a sample. */
static void *block_all_and_burn(void *seconds)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    *(double *)seconds = burn_to_a_sample(burn_three, 1.0);
    return NULL;
}

static void threads_that_block_all_signals_are_sampled(void **state)
{
    (void)state;
    pthread_t thread;
    double three = 0;
    start(NULL, 100);
    pthread_create(&thread, NULL, block_all_and_burn, &three);
    pthread_join(thread, NULL);
    struct profile *p = stop_and_read();
    assert_close(seconds_in(p, "burn_three", NULL, NULL), three, 0.05);
    assert_close(seconds_in(p, "block_all_and_burn", NULL, NULL), three, 0.05);
    profile_free(p);
}

/* ---- memory under a protection key ---- */

static const volatile int *guarded;
static _Atomic uint64_t looks, wrong;

/* As a walk reads compiled code that its runtime keeps under a key. */
static size_t look_at_guarded(const struct cprof_interrupted *thread,
                              struct cprof_frame *frames, size_t capacity, bool *complete)
{
    (void)thread, (void)frames, (void)capacity;
    looks++;
    wrong += *guarded != 42;
    *complete = true;
    return 0;
}

/* The kernel takes all keys from a signal handler; V8 has its code under one. */
static void memory_under_a_protection_key_can_be_read(void **state)
{
    (void)state;
    const struct cprof_runtime runtime = {.name = "guarding", .walk = look_at_guarded};
    const size_t size = (size_t)sysconf(_SC_PAGESIZE);
    int *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(page != MAP_FAILED);
    *page = 42;
    guarded = page;
    int key = pkey_alloc(0, PKEY_DISABLE_WRITE);
    if (key < 0)
        printf("SKIP no protection keys here\n");
    if (key < 0)
        skip();
    assert_int_equal(pkey_mprotect(page, size, PROT_READ | PROT_WRITE, key), 0);
    start(&runtime, 1000);
    burn_three(0.5);
    /* Nor does a take leave a thread with more rights than it had. */
    assert_int_equal(pkey_get(key), PKEY_DISABLE_WRITE);
    pkey_set(key, PKEY_DISABLE_ACCESS);
    burn_three(0.5);
    assert_int_equal(pkey_get(key), PKEY_DISABLE_ACCESS);
    pkey_set(key, 0);
    assert_int_equal(cprof_stop(60), 0);
    assert_true(looks > 10);
    assert_int_equal(wrong, 0);
    pkey_free(key);
    munmap(page, size);
}

/* ---- the C library's own use of its signal ---- */

static _Atomic unsigned changes;
static _Atomic bool refused;

/* The library sends its signal to all other threads for each of these. */
static void *change_identity(void *unused)
{
    while (going) {
        uid_t uid = getuid();
        gid_t gid = getgid(), groups[NGROUPS_MAX];
        int count = getgroups(NGROUPS_MAX, groups);
        refused = refused || setresuid(uid, uid, uid) != 0 || setresgid(gid, gid, gid) != 0;
        if (uid == 0)
            refused = refused || setgroups((size_t)count, groups) != 0;
        changes++;
    }
    return unused;
}

static void identities_change_under_sampling_and_amid_starts_and_stops(void **state)
{
    (void)state;
    pthread_t burners[2], changers[3];
    begin_burning(burners, 2);
    for (size_t i = 0; i < 3; i++)
        pthread_create(&changers[i], NULL, change_identity, NULL);
    for (int round = 0; round < 10; round++) {
        start(NULL, 1000);
        unsigned before = changes;
        while (changes < before + 10)
            usleep(1000);
        assert_int_equal(cprof_stop(60), 0);
    }
    end_burning(burners, 2);
    for (size_t i = 0; i < 3; i++)
        pthread_join(changers[i], NULL);
    assert_false(refused);
}

static _Atomic int seen_user; /* the other thread's, by the kernel */

static void *see_user(void *unused)
{
    while (going)
        seen_user = (int)syscall(SYS_geteuid);
    return unused;
}

static void another_user_is_one_for_every_thread(void **state)
{
    (void)state;
    if (getuid() != 0)
        skip();
    pthread_t other;
    going = true;
    start(NULL, 1000);
    pthread_create(&other, NULL, see_user, NULL);
    for (int user = 65534; user >= 0; user -= 65534) {
        assert_int_equal(setresuid((uid_t)-1, (uid_t)user, (uid_t)-1), 0);
        while (seen_user != user)
            usleep(1000);
    }
    going = false;
    pthread_join(other, NULL);
    assert_int_equal(cprof_stop(60), 0);
}

/* What the kernel has for the library's signal. */
struct kernel_action {
    void *handler;
    unsigned long flags;
    void *restorer;
    uint64_t mask;
};

static struct kernel_action library_action(void)
{
    struct kernel_action action = {0};
    syscall(SYS_rt_sigaction, 33, NULL, &action, sizeof action.mask);
    return action;
}

static void *return_at_once(void *unused)
{
    return unused;
}

static void the_library_has_its_signal_back_after_the_end(void **state)
{
    (void)state;
    pthread_t thread;
    pthread_create(&thread, NULL, return_at_once, NULL);
    pthread_join(thread, NULL);
    struct kernel_action before = library_action();
    start(NULL, 100);
    struct kernel_action meanwhile = library_action();
    assert_int_equal(cprof_stop(60), 0);
    struct kernel_action after = library_action();
    assert_true(before.handler != NULL && before.handler != meanwhile.handler);
    /* Older glibc does not ask for the alternate stack; 2.31 is one. */
    assert_int_equal(before.flags | SA_ONSTACK, meanwhile.flags);
    assert_memory_equal(&before, &after, sizeof after);
}

static void the_library_may_put_its_handler_back(void **state)
{
    (void)state;
    pthread_t thread;
    pthread_create(&thread, NULL, return_at_once, NULL);
    pthread_join(thread, NULL);
    struct kernel_action before = library_action();
    start(NULL, 100);
    syscall(SYS_rt_sigaction, 33, &before, NULL, sizeof before.mask);
    usleep(600000);
    double seven = burn_to_a_sample(burn_seven, 0.5);
    struct profile *p = stop_and_read();
    assert_close(seconds_in(p, "burn_seven", NULL, NULL), seven, 0.05);
    profile_free(p);
}

/* ---- small stacks, other programs ---- */

/* On a stack that is painted, so that its end tells how far it was used. */
static void a_busy_thread_with_the_least_stack_lives_on(void **state)
{
    (void)state;
    size_t size = (size_t)sysconf(_SC_THREAD_STACK_MIN) + 4096; /* for the burning itself */
    unsigned char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    memset(stack, 0xa5, size);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, stack, size);
    pthread_t thread;
    double three = 0;
    start(NULL, 1000);
    assert_int_equal(pthread_create(&thread, &attributes, block_all_and_burn, &three), 0);
    pthread_join(thread, NULL);
    struct profile *p = stop_and_read();
    assert_close(seconds_in(p, "burn_three", NULL, NULL), three, 0.05);
    profile_free(p);
    size_t unused = 0;
    while (unused < size && stack[unused] == 0xa5)
        unused++;
    print_message("%zu of %zu bytes of stack are used\n", size - unused, size);
    assert_true(unused > size / 4);
}

/* A timer that has expired must not be the end of what is executed next. */
static void programs_that_are_executed_meet_no_signal_of_ours(void **state)
{
    (void)state;
    start(NULL, 1000);
    for (int i = 0; i < 60; i++) {
        int status;
        cprof_fork_prepare();
        pid_t child = fork();
        if (child == 0) {
            pthread_t burners[2];
            cprof_fork_child();
            begin_burning(burners, 2);
            burn_seven(0.012);
            execl("/bin/true", "true", NULL);
        }
        cprof_fork_parent();
        waitpid(child, &status, 0);
        assert_int_equal(status, 0);
    }
    cprof_stop(60);
}

/* ---- where the C library has no such signal ---- */

static void start_elsewhere(unsigned rate)
{
    handler_refuse_library(true);
    start(NULL, rate);
}

static void elsewhere_a_program_that_resets_all_signals_is_sampled_on(void **state)
{
    (void)state;
    start_elsewhere(100);
    assert_int_equal(handler_choose(), SIGURG);
    burn_seven(0.1);
    for_all_signals(SIG_DFL);
    usleep(600000);
    burn_seven(0.5);
    struct profile *p = stop_and_read();
    assert_true(seconds_in(p, "burn_seven", NULL, NULL) > 0.07 + 0.3);
    profile_free(p);
}

static void elsewhere_a_program_that_takes_our_signal_is_sampled_by_another(void **state)
{
    (void)state;
    start_elsewhere(100);
    burn_seven(0.1);
    signal(handler_choose(), count);
    usleep(600000);
    burn_seven(0.5);
    struct profile *p = stop_and_read();
    assert_true(seconds_in(p, "burn_seven", NULL, NULL) > 0.07 + 0.3);
    assert_int_equal(received, 0);
    profile_free(p);
}

static void elsewhere_a_program_that_takes_every_signal_lives_on(void **state)
{
    (void)state;
    start_elsewhere(100);
    for_all_signals(count);
    usleep(600000);
    burn_seven(0.3);
    struct cprof_stats stats;
    cprof_stats(&stats);
    assert_int_equal(stats.threads, 0);
    assert_int_equal(cprof_stop(60), 0);
    assert_int_equal(cprof_start(NULL, NULL, error, sizeof error), -EBUSY);
    assert_non_null(strstr(error, "signal"));
}

static void elsewhere_a_program_that_waits_for_all_signals_gets_what_was_sent(void **state)
{
    (void)state;
    start_elsewhere(1000);
    wait_in_every_way();
    assert_int_equal(cprof_stop(60), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(a_program_that_resets_all_signals_is_sampled_on),
        TEST(children_that_reset_all_signals_live_on),
        TEST(a_program_that_handles_all_signals_receives_none_of_ours),
        TEST(a_program_that_waits_for_all_signals_gets_what_was_sent),
        TEST(threads_that_block_all_signals_are_sampled),
        TEST(memory_under_a_protection_key_can_be_read),
        TEST(identities_change_under_sampling_and_amid_starts_and_stops),
        TEST(another_user_is_one_for_every_thread),
        TEST(the_library_has_its_signal_back_after_the_end),
        TEST(the_library_may_put_its_handler_back),
        TEST(a_busy_thread_with_the_least_stack_lives_on),
        TEST(programs_that_are_executed_meet_no_signal_of_ours),
        TEST(elsewhere_a_program_that_resets_all_signals_is_sampled_on),
        TEST(elsewhere_a_program_that_takes_our_signal_is_sampled_by_another),
        TEST(elsewhere_a_program_that_takes_every_signal_lives_on),
        TEST(elsewhere_a_program_that_waits_for_all_signals_gets_what_was_sent),
    };
    return RUN(tests, argc, argv);
}
