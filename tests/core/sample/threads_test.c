/* The registry with a handler of the test's own, which only counts. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "sample/take.h"
#include "sample/ring_pool.h"
#include "sample/threads.h"

#define SIGNAL (SIGRTMAX - 5)

static struct budget budget;
static _Atomic unsigned ours, stale; /* signals with a current and with an old generation */

static void count_signal(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    uint64_t generation;
    struct thread *thread =
        threads_of_value((uint64_t)(uintptr_t)info->si_value.sival_ptr, &generation);
    if (atomic_load(&thread->generation) == generation) {
        unsigned expiries = 1 + (unsigned)info->si_overrun;
        ours += expiries;
        thread->counts.signals += 1;
        thread->counts.overruns += expiries - 1 + atomic_exchange(&thread->backlog, 0);
    } else {
        stale += 1;
    }
}

/* Threads that were there before the test: the main one, and a sanitizer's. */
static size_t present;

static int open_registry(void **state)
{
    (void)state;
    const int signal = SIGNAL;
    struct sigaction action = {.sa_sigaction = count_signal,
                               .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(signal, &action, NULL);
    ours = stale = 0;
    present = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;)
        present += entry->d_name[0] != '.';
    closedir(tasks);
    budget_init(&budget, 32 << 20);
    threads_open(
        &(struct threads_config){.record_max = take_record_max(64), .budget = &budget});
    threads_arm(SIGNAL, false, NS_PER_SECOND / 250);
    return 0;
}

static int close_registry(void **state)
{
    (void)state;
    threads_disarm();
    threads_close();
    assert_int_equal(budget_used(&budget), 0);
    return 0;
}

static struct threads_counts counts(void)
{
    struct threads_counts now;
    threads_count(&now);
    return now;
}

/* Lets the collector's part happen: frees the records of threads that left. */
static void collect(void)
{
    struct thread_view view;
    for (size_t cursor = 0; threads_next(&cursor, &view);)
        atomic_store(&view.thread->owed, 0);
}

static void burn(double seconds)
{
    uint64_t end = clock_ns(CLOCK_THREAD_CPUTIME_ID) + (uint64_t)(seconds * 1e9);
    while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < end)
        ;
}

struct gate {
    pthread_barrier_t started, leave;
    const char *name;
    _Atomic pid_t tid;
};

static void *wait_at_gate(void *argument)
{
    struct gate *gate = argument;
    if (gate->name != NULL)
        pthread_setname_np(pthread_self(), gate->name);
    gate->tid = (pid_t)syscall(SYS_gettid);
    pthread_barrier_wait(&gate->started);
    pthread_barrier_wait(&gate->leave);
    return NULL;
}

static void open_gate(struct gate *gate, const char *name, unsigned threads, pthread_t *ids)
{
    gate->name = name;
    pthread_barrier_init(&gate->started, NULL, threads + 1);
    pthread_barrier_init(&gate->leave, NULL, threads + 1);
    for (unsigned i = 0; i < threads; i++)
        assert_int_equal(pthread_create(&ids[i], NULL, wait_at_gate, gate), 0);
    pthread_barrier_wait(&gate->started);
}

static void close_gate(struct gate *gate, unsigned threads, pthread_t *ids)
{
    pthread_barrier_wait(&gate->leave);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    pthread_barrier_destroy(&gate->started);
    pthread_barrier_destroy(&gate->leave);
}

static void a_scan_finds_new_and_ended_threads(void **state)
{
    (void)state;
    assert_int_equal(threads_scan(false), 0);
    assert_int_equal(counts().sampled, present);
    pthread_t ids[40];
    struct gate gate;
    open_gate(&gate, "worker", 40, ids);
    threads_scan(false);
    assert_int_equal(counts().sampled, present + 40);
    close_gate(&gate, 40, ids);
    threads_scan(false);
    assert_int_equal(counts().sampled, present);
}

static void a_threads_cpu_time_is_signalled_to_it(void **state)
{
    (void)state;
    threads_scan(false);
    burn(1.0);
    assert_in_range(ours, 230, 265); /* 250 Hz; its start is random */
    assert_int_equal(stale, 0);
}

/* Without a source of CPU time: they are known, and no more. */
static void threads_without_timers_are_known_and_get_no_signal(void **state)
{
    (void)state;
    struct gate gate;
    pthread_t ids[2];
    threads_unarm();
    threads_enter(0, NULL);
    open_gate(&gate, NULL, 2, ids);
    threads_scan(false);
    assert_int_equal(counts().sampled, 0);
    assert_int_equal(counts().unsampled, 0);
    uint64_t before = ours;
    burn(0.1);
    threads_scan(false);
    assert_int_equal(ours, before);
    close_gate(&gate, 2, ids);
    threads_arm(SIGNAL, false, NS_PER_SECOND / 250);
    burn(0.1);
    assert_true(ours > before);
}

static void our_own_threads_are_never_sampled(void **state)
{
    (void)state;
    pthread_t ids[2];
    struct gate gate;
    open_gate(&gate, "cprof-export", 2, ids);
    threads_scan(false);
    assert_int_equal(counts().sampled, present);
    threads_scan(true);
    assert_int_equal(counts().sampled, present);
    close_gate(&gate, 2, ids);
}

static struct thread *record_of(pid_t tid)
{
    size_t i = 0;
    while (threads_reader(NULL, i) != NULL && thread_records[i].tid != tid)
        i++;
    assert_non_null(threads_reader(NULL, i));
    return &thread_records[i];
}

/* Though it is behind, as above the tick's rate some expiries are lost, and each look for its
 * name meets it in our handler, which blocks the signal. */
static void a_thread_whose_samples_come_keeps_its_timer(void **state)
{
    (void)state;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGNAL);
    threads_scan(false);
    record_of(getpid())->due_ns -=
        (int64_t)NS_PER_SECOND; /* a sanitizer's blocks all signals */
    for (int look = 0; look < 5; look++) {
        burn(0.03);
        pthread_sigmask(SIG_BLOCK, &set, NULL);
        threads_scan(true);
        assert_int_equal(counts().sampled, present);
        pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    }
}

/* CPU time: up to threads_leave(), which reads the clock, and beyond it. */
static _Atomic uint64_t lived_ns, ended_ns;

static void *live_shortly(void *argument)
{
    threads_enter((uintptr_t)argument, "short");
    burn(0.0005);
    lived_ns += clock_ns(CLOCK_THREAD_CPUTIME_ID);
    threads_leave();
    ended_ns += clock_ns(CLOCK_THREAD_CPUTIME_ID);
    return NULL;
}

static void a_stream_of_short_threads_leaves_nothing_behind(void **state)
{
    (void)state;
    threads_scan(false);
    lived_ns = ended_ns = 0;
    uint64_t began_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    for (uintptr_t i = 0; i < 3000; i++) {
        pthread_t id;
        assert_int_equal(pthread_create(&id, NULL, live_shortly, (void *)(i + 1)), 0);
        pthread_join(id, NULL);
        if (i % 100 == 0) {
            threads_scan(false);
            collect();
        }
    }
    assert_int_equal(counts().sampled, present);
    /* How many rings the pool keeps depends on how many threads there were at a time. */
    const size_t ring = sizeof(struct ring) + RING_SIZE + take_record_max(64);
    assert_true(budget_used(&budget) <= (SHELF_SIZE + present) * ring);
    /* 1.5 s of CPU in lives of half a millisecond, none of which a tick of the kernel need have
     * seen; and what this thread ran. One sample may have been due at the begin, others are at
     * the end. */
    uint64_t main_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - began_ns,
             period = NS_PER_SECOND / 250;
    threads_disarm();
    collect();
    uint64_t samples = counts().signals + counts().overruns;
    assert_in_range(samples, (lived_ns + main_ns) / period - 4,
                    (ended_ns + main_ns) / period + 4);
}

static bool set_next_tid(pid_t tid)
{
    char text[16];
    int length = snprintf(text, sizeof text, "%d", (int)tid - 1);
    int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
    bool set = fd >= 0 && write(fd, text, (size_t)length) == length;
    if (fd >= 0)
        close(fd);
    return set;
}

static uint64_t identity_of(pid_t tid)
{
    for (size_t i = 0; threads_reader(NULL, i) != NULL; i++)
        if (thread_records[i].state == THREAD_SAMPLED && thread_records[i].tid == tid)
            return thread_records[i].identity;
    return 0;
}

static void a_reused_tid_is_a_new_thread(void **state)
{
    (void)state;
    threads_scan(false);
    pthread_t id;
    struct gate gate;
    for (int attempt = 0; attempt < 20; attempt++) {
        open_gate(&gate, NULL, 1, &id);
        pid_t tid = gate.tid;
        threads_scan(false);
        uint64_t before = identity_of(tid);
        close_gate(&gate, 1, &id);
        usleep(2000); /* joined is not yet gone */
        if (!set_next_tid(tid))
            skip(); /* only root may choose tids */
        open_gate(&gate, NULL, 1, &id);
        bool reused = gate.tid == tid;
        threads_scan(false);
        uint64_t sampled = counts().sampled, after = identity_of(tid);
        close_gate(&gate, 1, &id);
        threads_scan(false);
        collect();
        if (reused) {
            assert_int_equal(sampled, present + 1);
            assert_true(after != before); /* not taken for the thread before */
            return;
        }
    }
    skip();
}

/* What was written to standard error while `scans` scans went on. */
static void said_in_scans(int scans, char *said, size_t size)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    int kept = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    for (int i = 0; i < scans; i++)
        threads_scan(false);
    dup2(kept, STDERR_FILENO);
    close(kept);
    ssize_t length = pread(fileno(file), said, size - 1, 0);
    said[length > 0 ? length : 0] = '\0';
    fclose(file);
}

static void a_low_limit_of_pending_signals_degrades_and_recovers(void **state)
{
    (void)state;
    pthread_t ids[20];
    struct gate gate;
    open_gate(&gate, "worker", 20, ids);
    struct rlimit before, low;
    getrlimit(RLIMIT_SIGPENDING, &before);
    low = before;
    low.rlim_cur = 3;
    setrlimit(RLIMIT_SIGPENDING, &low);
    char said[512];
    said_in_scans(3, said, sizeof said);
    struct threads_counts now = counts();
    setrlimit(RLIMIT_SIGPENDING, &before);
    assert_int_equal(now.sampled + now.unsampled, present + 20);
    assert_true(now.unsampled >= 18);
    assert_non_null(strstr(said, "the limit of pending signals (ulimit -i) is reached"));
    assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1); /* once */
    threads_scan(false);
    now = counts();
    assert_int_equal(now.sampled, present + 20);
    assert_int_equal(now.unsampled, 0);
    close_gate(&gate, 20, ids);
}

static void threads_without_memory_for_a_ring_stay_unsampled_until_there_is(void **state)
{
    (void)state;
    pthread_t ids[8];
    struct gate gate;
    assert_true(budget_take(&budget, 32 << 20));
    open_gate(&gate, "worker", 8, ids);
    threads_scan(false);
    assert_int_equal(counts().sampled, 0);
    assert_int_equal(counts().unsampled, present + 8);
    budget_give(&budget, 32 << 20);
    threads_scan(false);
    assert_int_equal(counts().sampled, present + 8);
    close_gate(&gate, 8, ids);
}

static void names_and_ids_come_from_the_runtime_first(void **state)
{
    (void)state;
    threads_scan(false);
    const struct thread *self = &thread_records[0];
    assert_string_equal(self->name, "sample_threads_");
    uint64_t identity = self->identity;
    threads_enter(77, "MainThread");
    assert_string_equal(self->name, "MainThread");
    assert_int_equal(self->id, 77);
    assert_true(self->identity != identity);
    identity = self->identity;
    threads_scan(true);
    assert_string_equal(self->name, "MainThread");
    assert_int_equal(self->identity, identity);
    threads_enter(77, "a name of sixty-three bytes and more, cut before the umlaut: xxü");
    assert_string_equal(self->name,
                        "a name of sixty-three bytes and more, cut before the umlaut: xx");
}

static void a_thread_that_the_runtime_tells_of_is_sampled_before_any_scan(void **state)
{
    (void)state;
    pthread_t id;
    struct gate gate;
    open_gate(&gate, "worker", 1, &id);
    threads_describe(gate.tid, 5, "Thread-5");
    const struct thread *told = &thread_records[0];
    assert_int_equal(counts().sampled, 1);
    assert_int_equal(told->tid, gate.tid);
    assert_int_equal(told->id, 5);
    assert_string_equal(told->name, "Thread-5");
    threads_scan(false);
    assert_int_equal(counts().sampled, present + 1);
    assert_string_equal(told->name, "Thread-5");
    close_gate(&gate, 1, &id);
    threads_describe(gate.tid, 5, "Thread-5"); /* it has ended */
    threads_describe(getppid(), 6, "a thread of somebody else's");
    threads_scan(false);
    assert_int_equal(counts().sampled, present);
    assert_int_equal(counts().unsampled, 0);
}

static void nothing_happens_while_closed(void **state)
{
    (void)state;
    threads_disarm();
    threads_enter(1, "x");
    threads_set_data(&budget);
    threads_leave();
    threads_scan(false);
    assert_int_equal(counts().sampled, 0);
}

static void *end_at_once(void *unused)
{
    return unused;
}

/* As Ruby's native threads do, which wait for their next Ruby thread: each life ends before its
 * first tick, and something runs between them. */
static void *live_often(void *argument)
{
    uint64_t *ran_ns = argument;
    for (int i = 0; i < 400; i++) {
        threads_enter(1, "worker");
        burn(0.0007);
        threads_leave();
        collect();
        burn(0.0003);
        if (i % 100 == 50) { /* found by the collector meanwhile */
            threads_scan(false);
            burn(0.01);
        }
    }
    *ran_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    return NULL;
}

static void who_leaves_and_goes_on_is_sampled_as_if_it_had_not_left(void **state)
{
    (void)state;
    pthread_t thread;
    uint64_t ran_ns;
    assert_int_equal(pthread_create(&thread, NULL, live_often, &ran_ns), 0);
    pthread_join(thread, NULL);
    threads_disarm(); /* what the last lives have left is paid */
    struct threads_counts now = counts();
    uint64_t samples = now.signals + now.overruns, expected = ran_ns / (NS_PER_SECOND / 250);
    assert_in_range(samples, expected - expected / 20, expected + expected / 20);
}

static void a_name_that_comes_while_samples_are_read_is_theirs(void **state)
{
    (void)state;
    struct thread_view view;
    size_t cursor = 0;
    threads_enter(1, "before");
    atomic_store(&thread_records[0].owed, 1);
    atomic_fetch_or(&threads_awake[0], 1);
    assert_true(threads_next(&cursor, &view));
    assert_string_equal(view.name, "before");
    uint64_t identity = view.identity;
    threads_enter(2, "after");
    threads_look_again(&view);
    assert_string_equal(view.name, "after");
    assert_int_equal(view.id, 2);
    assert_true(view.identity != identity);
    collect();
}

int main(void)
{
    /* A sanitizer starts its own thread with the first one of the program. */
    pthread_t first;
    if (pthread_create(&first, NULL, end_at_once, NULL) == 0)
        pthread_join(first, NULL);
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_registry, close_registry)
    const struct CMUnitTest tests[] = {
        TEST(a_scan_finds_new_and_ended_threads),
        TEST(a_threads_cpu_time_is_signalled_to_it),
        TEST(threads_without_timers_are_known_and_get_no_signal),
        TEST(our_own_threads_are_never_sampled),
        TEST(a_thread_whose_samples_come_keeps_its_timer),
        TEST(a_stream_of_short_threads_leaves_nothing_behind),
        TEST(a_reused_tid_is_a_new_thread),
        TEST(a_low_limit_of_pending_signals_degrades_and_recovers),
        TEST(threads_without_memory_for_a_ring_stay_unsampled_until_there_is),
        TEST(names_and_ids_come_from_the_runtime_first),
        TEST(a_name_that_comes_while_samples_are_read_is_theirs),
        TEST(a_thread_that_the_runtime_tells_of_is_sampled_before_any_scan),
        TEST(who_leaves_and_goes_on_is_sampled_as_if_it_had_not_left),
        TEST(nothing_happens_while_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
