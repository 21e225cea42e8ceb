/*
 * What a sample with the kernel's frames costs beside one by a timer, in CPU time of the thread
 * that is sampled: pieces of the same work, in turn without sampling, with timers and with
 * CPROF_KERNEL=on, at 1,000 samples a second. Prints only.
 *
 *   bench_kernel [ROUNDS]
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "cprof/cprof.h"

#define RATE 1000
#define ROUNDS_MAX 200
#define PIECE_NS (NS_PER_SECOND / 10)

static volatile uint64_t sink;

/* Some microseconds of the program's own, or of the kernel's. */
static void compute(int unused)
{
    (void)unused;
    for (int i = 0; i < 5000; i++)
        sink += (uint64_t)i;
}

static void read_zeros(int zero)
{
    static char zeros[1 << 15];
    if (read(zero, zeros, sizeof zeros) <= 0)
        exit(1);
}

/* Nanoseconds of CPU time that one step takes. */
static double step_ns(void (*step)(int), int zero)
{
    uint64_t began = clock_ns(CLOCK_THREAD_CPUTIME_ID), now, steps = 0;
    do {
        for (int i = 0; i < 16; i++)
            step(zero);
        steps += 16;
        now = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    } while (now - began < PIECE_NS);
    return (double)(now - began) / (double)steps;
}

static double sampled_step_ns(void (*step)(int), int zero, const char *kernel)
{
    char error[256];
    const struct cprof_options options = {.rate = RATE, .exporter = "none"};
    setenv("CPROF_KERNEL", kernel, 1);
    if (cprof_start(&options, NULL, error, sizeof error) != 0) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
    double took = step_ns(step, zero);
    cprof_stop(5);
    return took;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* What is lost of each second's work is the cost of its samples. */
static void measure(const char *name, void (*step)(int), int zero, size_t rounds)
{
    static double timer[ROUNDS_MAX], kernel[ROUNDS_MAX];
    for (size_t i = 0; i < rounds; i++) {
        double bare = step_ns(step, zero);
        timer[i] = (1 - bare / sampled_step_ns(step, zero, "off")) * 1e6 / RATE;
        kernel[i] = (1 - bare / sampled_step_ns(step, zero, "on")) * 1e6 / RATE;
    }
    qsort(timer, rounds, sizeof *timer, compare);
    qsort(kernel, rounds, sizeof *kernel, compare);
    printf("%s: CPU a sample, median (quarters): timer %.1f (%.1f, %.1f) us, kernel %.1f "
           "(%.1f, %.1f) us\n",
           name, timer[rounds / 2], timer[rounds / 4], timer[rounds * 3 / 4],
           kernel[rounds / 2], kernel[rounds / 4], kernel[rounds * 3 / 4]);
}

int main(int argc, char **argv)
{
    size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 20;
    int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    if (zero < 0 || rounds == 0 || rounds > ROUNDS_MAX)
        return 2;
    measure("computing", compute, zero, rounds);
    measure("reading", read_zeros, zero, rounds);
    return 0;
}
