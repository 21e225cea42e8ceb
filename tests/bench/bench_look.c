/* What looks at threads cost: prints
 *
 *   - nanoseconds of CPU time a look, the best of the rounds: for one that finds the thread
 *     where it was, and for one with a walk, at a thread that has run and sleeps again;
 *   - at 20 Hz, the share of the process's CPU time with 64 threads that are busy (they
 * compute, and sleep now and then), and the share of one CPU with 1,000 that only sleep.
 *
 *   bench_look [DEPTH] [SECONDS] */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "look/kernel.h"
#include "look/looks.h"
#include "sample/take.h"
#include "sample/threads.h"

enum { ROUNDS = 40, WOKEN = 64, BUSY = 64, IDLE = 1000, DEEPEST = 400 };

static int depth = 20, seconds = 10, wakes;
static atomic_bool over;

struct sleeper {
    pthread_t thread;
    _Atomic pid_t tid;
};

static void wait_for_wake(void)
{
    uint64_t count;
    (void)!read(wakes, &count, sizeof count);
}

static void compute(void)
{
    volatile unsigned sum = 0;
    for (unsigned i = 0; i < 20000000; i++)
        sum += i;
    usleep(1000);
}

__attribute__((noinline)) static int below(int frames, void (*step)(void))
{
    volatile char room[100];
    room[0] = (char)frames;
    if (frames > 0)
        return below(frames - 1, step) + room[0];
    while (!atomic_load(&over))
        step();
    return 0;
}

static void *run_waiter(void *closure)
{
    struct sleeper *sleeper = closure;
    atomic_store(&sleeper->tid, (pid_t)syscall(SYS_gettid));
    return (void *)(intptr_t)below(depth, wait_for_wake);
}

static void *run_busy(void *unused)
{
    (void)unused;
    return (void *)(intptr_t)below(depth, compute);
}

static int place(void *closure, const struct thread_view *thread, const struct record *record,
                 const struct wait *wait, bool may_wait, struct thread_last *where)
{
    (void)closure, (void)thread, (void)record, (void)wait, (void)may_wait;
    *where = (struct thread_last){0};
    return 0;
}

static void waited(void *closure, const struct thread_view *thread,
                   const struct thread_last *where, uint32_t microseconds, uint32_t times)
{
    (void)closure, (void)thread, (void)where, (void)microseconds, (void)times;
}

static void delayed(void *closure, const struct thread_view *thread, uint32_t microseconds)
{
    (void)closure, (void)thread, (void)microseconds;
}

static const struct looks_receiver receiver = {
    .place = place, .waited = waited, .delayed = delayed};

static struct modules_reader *no_readers(void *closure, size_t index)
{
    (void)closure, (void)index;
    return NULL;
}

/* ---- all that is measured with ---- */

struct bench {
    struct budget budget;
    struct modules *modules;
    struct looks *looks;
};

static void begin(struct bench *bench, uint64_t period_ns)
{
    const struct looks_config config = {
        .looker = {.budget = &bench->budget, .native = true, .max_frames = 512},
        .period_ns = period_ns,
        .receiver = &receiver};
    bench->looks = looks_new(&config);
    if (bench->looks == NULL)
        exit(1);
}

static struct looks_counts count(const struct bench *bench)
{
    struct looks_counts counts;
    looks_count(bench->looks, &counts);
    return counts;
}

static void start_all(pthread_t *threads, int wanted, void *(*run)(void *))
{
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, (size_t)256 << 10);
    for (int i = 0; i < wanted; i++)
        if (pthread_create(&threads[i], &small, run, NULL) != 0)
            exit(1);
}

/* ---- a look ---- */

static void wait_until_asleep(const struct sleeper *sleepers)
{
    struct kernel_asleep asleep;
    for (int i = 0; i < WOKEN; i++)
        while (atomic_load(&sleepers[i].tid) == 0 ||
               kernel_asleep(atomic_load(&sleepers[i].tid), &asleep) != 0)
            usleep(1000);
}

static void wake_all(void)
{
    const uint64_t all = WOKEN;
    if (write(wakes, &all, sizeof all) != sizeof all)
        exit(1);
    usleep(20000);
}

/* A round; its nanoseconds a look, if it was one with a walk at all of them, or at none. */
static double round_ns(struct bench *bench, bool walks)
{
    struct looks_counts before = count(bench), after;
    looks_round(bench->looks, modules_current(bench->modules));
    after = count(bench);
    const bool whole = walks ? after.taken - before.taken >= WOKEN
                             : after.unmoved - before.unmoved >= WOKEN && //
                                   after.taken == before.taken;
    return whole ? (double)(after.cpu_ns - before.cpu_ns) / WOKEN : 1e9;
}

/* The rounds are far enough apart for what they may take. */
static void measure_looks(struct bench *bench)
{
    static struct sleeper sleepers[WOKEN];
    double walked = 1e9, unmoved = 1e9;
    wakes = eventfd(0, EFD_SEMAPHORE);
    for (int i = 0; i < WOKEN; i++)
        if (pthread_create(&sleepers[i].thread, NULL, run_waiter, &sleepers[i]) != 0)
            exit(1);
    wait_until_asleep(sleepers);
    threads_scan(true);
    begin(bench, 100 * NS_PER_SECOND); /* each thread is due in every round */
    for (int i = 0; i < ROUNDS; i++) {
        wake_all();
        wait_until_asleep(sleepers);
        const double walk = round_ns(bench, true), none = round_ns(bench, false);
        walked = walk < walked ? walk : walked;
        unmoved = none < unmoved ? none : unmoved;
        while (modules_compile(bench->modules)) /* what the rounds have met */
            ;
        usleep(200000);
    }
    printf("%d threads, %d frames: unmoved %.0f ns, with a walk %.0f ns a look\n", WOKEN,
           depth + 4, unmoved, walked);
    looks_free(bench->looks);
    atomic_store(&over, true);
    wake_all();
    for (int i = 0; i < WOKEN; i++)
        pthread_join(sleepers[i].thread, NULL);
    atomic_store(&over, false);
}

/* ---- many threads, for some seconds ---- */

static uint64_t process_cpu_ns(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

/* As the collector does it: rounds when they are due, the registry four times a second. The
 * first seconds are not counted: one; ten with threads that only sleep, as those that have just
 * fallen asleep are looked at more often. */
static void look_for_seconds(struct bench *bench, const char *whose, bool of_process)
{
    const uint64_t start =
        clock_ns(CLOCK_MONOTONIC) + (of_process ? 1 : 10) * (uint64_t)NS_PER_SECOND;
    uint64_t scan = 0, cpu = 0, began = 0, now, taken = 0, skipped = 0;
    for (bool counting = false; (now = clock_ns(CLOCK_MONOTONIC)) <
                                start + (uint64_t)seconds * (uint64_t)NS_PER_SECOND;) {
        if (!counting && now >= start) {
            counting = true;
            began = now;
            cpu = process_cpu_ns() - count(bench).cpu_ns;
            taken = count(bench).cpu_ns;
            skipped = count(bench).skipped;
        }
        if (now >= scan) {
            threads_scan(false);
            while (modules_compile(bench->modules))
                ;
            scan = now + NS_PER_SECOND / 4;
        }
        if (now >= looks_due(bench->looks))
            looks_round(bench->looks, modules_current(bench->modules));
        usleep(2000);
    }
    const struct looks_counts counts = count(bench);
    const double looked = (double)(counts.cpu_ns - taken);
    const double whole = of_process ? (double)(process_cpu_ns() - counts.cpu_ns - cpu)
                                    : (double)(clock_ns(CLOCK_MONOTONIC) - began);
    printf("%s at 20 Hz for %d s: looks take %.3f %% of %s; %llu rounds left out\n", whose,
           seconds, 100 * looked / whole, of_process ? "the process's CPU time" : "one CPU",
           (unsigned long long)(counts.skipped - skipped));
}

static void measure_many(struct bench *bench, const char *whose, int wanted,
                         void *(*run)(void *), bool of_process)
{
    pthread_t *threads = calloc((size_t)wanted, sizeof *threads);
    if (threads == NULL)
        exit(1);
    start_all(threads, wanted, run);
    usleep(200000);
    threads_scan(true);
    begin(bench, NS_PER_SECOND / 20);
    look_for_seconds(bench, whose, of_process);
    looks_free(bench->looks);
    atomic_store(&over, true);
    for (int i = 0; run == run_busy && i < wanted; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&over, false);
    threads_scan(false);
    free(threads);
}

static void *run_idle(void *unused)
{
    static struct sleeper ignored;
    (void)unused;
    return run_waiter(&ignored);
}

int main(int argc, char **argv)
{
    static struct bench bench;
    depth = argc > 1 ? atoi(argv[1]) : depth;
    seconds = argc > 2 ? atoi(argv[2]) : seconds;
    if (depth < 0 || depth > DEEPEST)
        return 2;
    budget_init(&bench.budget, (size_t)64 << 20);
    bench.modules = modules_new(&bench.budget);
    modules_refresh(bench.modules, no_readers, NULL);
    const struct threads_config registry = {.record_max = take_record_max(512),
                                            .budget = &bench.budget};
    threads_open(&registry);
    measure_looks(&bench);
    fflush(stdout);
    measure_many(&bench, "64 busy threads", BUSY, run_busy, true);
    fflush(stdout);
    measure_many(&bench, "1,000 idle threads", IDLE, run_idle, false);
    fflush(stdout);
    _exit(0);
}
