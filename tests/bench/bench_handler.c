/*
 * What sampling costs, in one run on one machine:
 *   1. the handler beside an empty one, at 30 native frames;
 *   2. the extra CPU of a busy program of four threads at 100 Hz, cprof's threads included;
 *   3. the memory that comes with 16 sampled threads.
 * Prints only. Part 2 compares the same work done with and without cprof, alternating.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "cprof/cprof.h"
#include "sample/install.h"
#include "sample/threads.h"

#define SIGNALS 20000
#define ROUNDS 5

static volatile uint64_t sink;

static void start(unsigned rate, const char *exporter)
{
    char error[256];
    const struct cprof_options options = {.rate = rate, .exporter = exporter};
    if (cprof_start(&options, NULL, error, sizeof error) != 0) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
}

/* ---- 1. the handler ---- */

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void on_empty(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
}

/* Sends the signal to this thread as its timer would; the median time of a round trip. */
static uint64_t time_signals(int signal, union sigval value)
{
    static uint64_t times[SIGNALS];
    siginfo_t info = {.si_signo = signal, .si_code = SI_TIMER};
    info.si_value = value;
    for (int i = 0; i < SIGNALS; i++) {
        uint64_t begin = clock_ns(CLOCK_MONOTONIC);
        syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid), signal, &info);
        times[i] = clock_ns(CLOCK_MONOTONIC) - begin;
        if (i % 16 == 0)
            usleep(100); /* the collector keeps up, as it does in life */
    }
    qsort(times, SIGNALS, sizeof *times, compare);
    return times[SIGNALS / 2];
}

static uint64_t own_value(void)
{
    pid_t tid = (pid_t)syscall(SYS_gettid);
    for (uint64_t i = 0; threads_reader(NULL, i) != NULL; i++)
        if (thread_records[i].state == THREAD_SAMPLED && thread_records[i].tid == tid)
            return atomic_load(&thread_records[i].generation) << THREADS_SHIFT | i;
    return 0;
}

__attribute__((noinline)) static void at_depth(int depth, uint64_t *empty, uint64_t *ours)
{
    if (depth > 0) {
        at_depth(depth - 1, empty, ours);
        sink++;
        return;
    }
    const union sigval value = {.sival_ptr = (void *)(uintptr_t)own_value()};
    *empty = time_signals(SIGUSR2, value);
    *ours = time_signals(handler_choose(), value);
}

static void measure_handler(void)
{
    struct sigaction action = {.sa_sigaction = on_empty, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGUSR2, &action, NULL);
    static const int depths[] = {0, 26, 56};
    printf("handler, median of %d signals\n", SIGNALS);
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
        start(1, "none");
        uint64_t empty, ours;
        at_depth(depths[i], &empty, &ours);
        struct cprof_stats stats;
        cprof_stop(5);
        cprof_stats(&stats);
        printf("  %2d native frames: empty %llu ns, cprof %llu ns, difference %lld ns; "
               "dropped %llu of %llu, truncated %llu\n",
               depths[i] + 6, (unsigned long long)empty, (unsigned long long)ours,
               (long long)(ours - empty), (unsigned long long)stats.samples_dropped,
               (unsigned long long)(stats.samples + stats.samples_dropped),
               (unsigned long long)stats.samples_truncated);
    }
}

/* ---- 2. a busy program ---- */

/* Work that a sample at any moment finds at another depth. */
__attribute__((noinline)) static uint64_t tree(int depth)
{
    if (depth == 0)
        return sink & 1;
    return tree(depth - 1) + tree(depth - 1) + 1;
}

static void *work(void *unused)
{
    for (int i = 0; i < 12; i++)
        sink += tree(25);
    return unused;
}

static double run_work(void)
{
    uint64_t begin = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, work, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    return (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begin) / 1e9;
}

static void measure_program(void)
{
    double without[ROUNDS], with[ROUNDS], own = 0, sampled = 0;
    struct cprof_stats stats = {0};
    for (int i = 0; i < ROUNDS; i++) {
        without[i] = run_work();
        start(100, "none");
        with[i] = run_work();
        cprof_stop(5);
        cprof_stats(&stats);
        own += (double)stats.collector_cpu_ns / 1e9;
        sampled += (double)stats.samples / 100;
    }
    double least_without = without[0], least_with = with[0];
    for (int i = 1; i < ROUNDS; i++) {
        least_without = without[i] < least_without ? without[i] : least_without;
        least_with = with[i] < least_with ? with[i] : least_with;
    }
    printf("four busy threads at 100 Hz, least of %d rounds: %.3f s without, %.3f s with "
           "(%+.2f %%)\n",
           ROUNDS, least_without, least_with, 100 * (least_with / least_without - 1));
    printf("  of the sampled %.1f s: cprof's threads %.3f %%, handler mean %llu ns (%.3f %%)\n",
           sampled, 100 * own / sampled, (unsigned long long)stats.handler_ns_mean,
           (double)stats.handler_ns_mean * 100 / 1e9 * 100);
}

/* ---- 3. memory ---- */

static long resident_kib(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file != NULL && fscanf(file, "%*d %ld", &pages) != 1)
        pages = 0;
    if (file != NULL)
        fclose(file);
    return pages * sysconf(_SC_PAGESIZE) / 1024;
}

static _Atomic bool busy;

static void *stay_busy(void *unused)
{
    while (busy)
        sink += tree(12);
    return unused;
}

static void measure_memory(void)
{
    busy = true;
    pthread_t threads[16];
    for (int i = 0; i < 16; i++)
        pthread_create(&threads[i], NULL, stay_busy, NULL);
    sleep(1);
    long before = resident_kib();
    start(100, "none");
    sleep(15);
    long after = resident_kib();
    struct cprof_stats stats;
    cprof_stats(&stats);
    busy = false;
    for (int i = 0; i < 16; i++)
        pthread_join(threads[i], NULL);
    cprof_stop(5);
    printf("16 busy threads, 15 s: %+ld KiB resident; %llu KiB drawn from the budget\n",
           after - before, (unsigned long long)stats.memory_bytes / 1024);
}

int main(void)
{
    measure_handler();
    measure_program();
    measure_memory();
    return 0;
}
