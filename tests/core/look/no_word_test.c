/* Looks in a process of which the kernel does not say where its threads sleep: one that is not
 * dumpable, and not root's. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "look/kernel.h"
#include "look/look.h"
#include "sample/take.h"
#include "sample/threads.h"
#include "sample/timer.h"

enum { TOKEN = 77 };

static pid_t me(void)
{
    return (pid_t)syscall(SYS_gettid);
}

/* False: this machine says it in spite of all. */
static bool no_word(void)
{
    struct kernel_asleep asleep;
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
        return false;
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    return kernel_asleep(me(), &asleep) == -EACCES;
}

static void the_state_in_the_kernel_s_file_is_read(void **state)
{
    (void)state;
    assert_int_equal(kernel_state("7 (a) S 1 2"), 'S');
    assert_int_equal(kernel_state("7 (a) R (b) D 1 2"), 'D');
    static const char *const others[] = {"", "7", "7 (a", "7 (a)", "7 (a)S"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_int_equal(kernel_state(others[i]), 0);
}

static void a_function_of_the_kernel_s_says_what_is_waited_for(void **state)
{
    (void)state;
    static const struct {
        const char *function;
        enum cprof_wait reason;
    } functions[] = {{"hrtimer_nanosleep", CPROF_WAIT_SLEEP},
                     {"futex_do_wait", CPROF_WAIT_LOCK},
                     {"futex_wait_queue_me", CPROF_WAIT_LOCK},
                     {"do_epoll_wait", CPROF_WAIT_IDLE},
                     {"inet_csk_accept", CPROF_WAIT_IDLE},
                     {"inet_stream_connect", CPROF_WAIT_IO},
                     {"anon_pipe_read", CPROF_WAIT_IO},
                     {"poll_schedule_timeout", CPROF_WAIT_IO},
                     {"do_wait", CPROF_WAIT_CHILD},
                     {"folio_wait_bit_common", CPROF_WAIT_DISK},
                     {"", CPROF_WAIT_UNKNOWN},
                     {"futex", CPROF_WAIT_UNKNOWN},
                     {"some_driver_read", CPROF_WAIT_UNKNOWN}};
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        const struct wait wait = wait_of_function(functions[i].function);
        assert_int_equal(wait.reason, functions[i].reason);
        assert_int_equal(wait.state, WAIT_WAITING);
    }
}

static size_t one_frame(const struct cprof_sleeper *sleeper, struct cprof_frame *frames,
                        size_t capacity, bool *complete)
{
    assert_int_equal(sleeper->registers.pc, 0);
    assert_true(capacity > 0 && *complete);
    frames[0] = (struct cprof_frame){.token = TOKEN, .stack = CPROF_STACK_BOUNDARY};
    return 1;
}

static _Atomic pid_t sleeper_tid;

static void *sleeper(void *unused)
{
    atomic_store(&sleeper_tid, me());
    nanosleep(&(struct timespec){.tv_sec = 600}, NULL);
    return unused;
}

static bool is_sleeper(void *closure, const struct thread *thread)
{
    (void)closure;
    return thread->tid == atomic_load(&sleeper_tid);
}

static struct budget budget;

/* Looks at the thread until one is taken, or refused. */
static enum look_end look_at_sleeper(const struct cprof_runtime *runtime, struct record *record,
                                     struct wait *wait)
{
    const struct looker_config config = {
        .budget = &budget, .runtime = runtime, .native = true, .max_frames = 16};
    struct looker *looker = looker_new(&config);
    struct thread_view view;
    size_t cursor = 0;
    uintptr_t kept = 0;
    const struct record *seen;
    enum look_end end = LOOK_TORN;
    assert_non_null(looker);
    assert_true(threads_living(&cursor, is_sleeper, NULL, &view));
    while (end == LOOK_TORN || end == LOOK_RUNNING) {
        usleep(1000);
        end =
            look_take(looker, NULL, &view, thread_ran_ns(view.thread->tid), &kept, &seen, wait);
    }
    if (end == LOOK_TAKEN) {
        memcpy(record, seen, sizeof *record);
        assert_int_equal(record->frame_count, 1);
        assert_int_equal(record_frames(seen)[0].token, TOKEN);
    }
    looker_free(looker);
    return end;
}

static void who_sleeps_has_the_frames_of_the_runtime_and_a_reason(void **state)
{
    (void)state;
    static const struct cprof_asleep asleep = {.walk = one_frame};
    static const struct cprof_runtime runtime = {.name = "test", .asleep = &asleep};
    pthread_t thread;
    struct record record;
    struct wait wait;
    const struct threads_config threads = {.record_max = take_record_max(16),
                                           .budget = &budget};
    if (!no_word())
        skip();
    char function[KERNEL_NAME_SIZE];
    assert_int_equal(look_is_possible(), -EACCES);
    assert_int_equal(look_is_possible_without_stack(&runtime), 0);
    assert_int_equal(look_is_possible_without_stack(NULL), -ENOTSUP);
    threads_open(&threads);
    assert_int_equal(pthread_create(&thread, NULL, sleeper, NULL), 0);
    while (atomic_load(&sleeper_tid) == 0)
        usleep(1000);
    assert_int_equal(threads_scan(true), 0);
    assert_int_equal(look_at_sleeper(&runtime, &record, &wait), LOOK_TAKEN);
    assert_int_equal(record.native_count, 0);
    assert_int_equal(record.native_end, WALK_COMPLETE);
    assert_int_equal(wait.state, WAIT_WAITING);
    assert_int_equal(kernel_sleeps(atomic_load(&sleeper_tid), function), 0);
    if (function[0] != '\0') /* the kernel was built with that */
        assert_int_equal(wait.reason, CPROF_WAIT_SLEEP);
    assert_int_equal(kernel_sleeps(me(), function), -EAGAIN);
    assert_int_equal(look_at_sleeper(NULL, &record, &wait), LOOK_REFUSED);
    pthread_cancel(thread);
    pthread_join(thread, NULL);
    assert_int_equal(kernel_sleeps(atomic_load(&sleeper_tid), function), -ESRCH);
    threads_disarm();
    threads_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_state_in_the_kernel_s_file_is_read),
        cmocka_unit_test(a_function_of_the_kernel_s_says_what_is_waited_for),
#ifdef __x86_64__
        cmocka_unit_test(who_sleeps_has_the_frames_of_the_runtime_and_a_reason),
#endif
    };
    budget_init(&budget, (size_t)16 << 20);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
