/*
 * What the walker costs: nanoseconds a frame over stacks of 10, 30 and 60 frames, and time and
 * bytes to compile the tables of libraries as big as people load them.
 *
 *     bench_walk [library…]      default: libc, libcrypto and libpython3.11 where they load
 */
#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>

#include "base/clock.h"
#include "unwind/modules.h"
#include "unwind/table.h"
#include "unwind/walk.h"

enum { CAPACITY = 256, ROUNDS = 401, WALKS = 5 };

static const struct module_map *map;
static size_t frames;
static bool forgetful; /* no rule is remembered from the walk before */
static uint64_t nanoseconds[ROUNDS];

static struct modules_reader *no_readers(void *closure, size_t index)
{
    (void)closure;
    (void)index;
    return NULL;
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* In a handler, as in life. The median of many rounds, each of a few walks to outweigh the
 * clock; every round after the first finds its tables in the cache. */
static void measure(int signo, siginfo_t *info, void *context)
{
    static struct native_frame native[CAPACITY];
    static struct walk_memory memory;
    struct stack_bounds bounds = {0};
    const struct walk_room room = {
        .native = native, .native_capacity = CAPACITY, .bounds = &bounds, .memory = &memory};
    const struct cprof_interrupted thread = {.ucontext = context,
                                             .registers = walk_registers(context)};
    (void)signo;
    (void)info;
    for (size_t round = 0; round < ROUNDS; round++) {
        uint64_t start = clock_ns(CLOCK_MONOTONIC);
        for (int i = 0; i < WALKS; i++) {
            if (forgetful)
                memory.cache.snapshot = 0;
            walk_bounds(&bounds, thread.registers.sp);
            frames = walk_frames(map, &thread, NULL, &room).native_count;
        }
        nanoseconds[round] = (clock_ns(CLOCK_MONOTONIC) - start) / WALKS;
    }
    qsort(nanoseconds, ROUNDS, sizeof(nanoseconds[0]), compare);
}

/* Six functions of different shapes that call each other in turn. */
static unsigned dive(unsigned depth);

#define SHAPE(number, words)                                                                   \
    __attribute__((noinline)) static unsigned shape_##number(unsigned depth)                   \
    {                                                                                          \
        volatile unsigned local[words] = {depth};                                              \
        unsigned below = dive(depth - 1);                                                      \
        return below + local[depth % (words)];                                                 \
    }
SHAPE(0, 2)
SHAPE(1, 10)
SHAPE(2, 33)
SHAPE(3, 100)
SHAPE(4, 5)
SHAPE(5, 17)

__attribute__((noinline)) static unsigned dive(unsigned depth)
{
    static unsigned (*const shapes[])(unsigned) = {shape_0, shape_1, shape_2,
                                                   shape_3, shape_4, shape_5};
    if (depth == 0)
        return (unsigned)raise(SIGUSR1);
    return shapes[depth * 7 % 6](depth) + 1;
}

static void bench_walk(unsigned wanted)
{
    dive(1);
    unsigned around = (unsigned)frames - 2; /* main, _start, raise and the like */
    dive((wanted - around) / 2);
    printf("walk     %3zu frames  median %6" PRIu64 " ns  %5.1f ns a frame  (p90 %" PRIu64
           " ns)\n",
           frames, nanoseconds[ROUNDS / 2], (double)nanoseconds[ROUNDS / 2] / (double)frames,
           nanoseconds[ROUNDS * 9 / 10]);
}

static void bench_refresh(struct modules *modules, const char *what)
{
    uint64_t start = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    modules_refresh(modules, no_readers, NULL);
    uint64_t spent = clock_ns(CLOCK_THREAD_CPUTIME_ID) - start;
    printf("refresh  %8.3f ms  %s\n", (double)spent / 1e6, what);
}

static void print_tables(const struct module *module, double spent)
{
    const struct unwind_table *last = NULL;
    size_t tables = 0, bytes = 0, rows = 0;
    for (uintptr_t pc = module->start; pc < module->limit; pc += 256) {
        const struct unwind_table *table = module_table(module, pc);
        if (!table || table == last)
            continue;
        last = table;
        tables++;
        bytes += table->bytes;
        rows += table->rows;
    }
    if (tables > 0)
        printf("compile  %8.3f ms  %8zu bytes  %7zu rows  %5zu tables  %s\n", spent, bytes,
               rows, tables, module->path);
}

/* Of all modules, all of their code. */
static void bench_compile(struct modules *modules)
{
    const struct module_map *modules_now = modules_current(modules);
    for (size_t i = 0; i < modules_now->count; i++) {
        const struct module *module = modules_now->modules[i];
        uint64_t start = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        for (uintptr_t pc = module->start; pc < module->limit; pc += 256)
            module_meet(module, pc);
        while (modules_compile(modules))
            ;
        uint64_t spent = clock_ns(CLOCK_THREAD_CPUTIME_ID) - start;
        print_tables(module, (double)spent / 1e6);
    }
}

static void bench_walks(const char *how)
{
    printf("by %s:\n", how);
    bench_walk(10);
    bench_walk(30);
    bench_walk(60);
}

int main(int argc, char **argv)
{
    static char *usual[] = {"libcrypto.so.3", "libpython3.11.so.1.0"};
    char **libraries = argc > 1 ? argv + 1 : usual;
    size_t count = argc > 1 ? (size_t)argc - 1 : sizeof(usual) / sizeof(usual[0]);
    struct budget budget;
    budget_init(&budget, 0);
    struct modules *modules = modules_new(&budget);
    if (!modules)
        return EXIT_FAILURE;
    bench_refresh(modules, "the program, libc, ld.so and vDSO");
    for (size_t i = 0; i < count; i++)
        if (dlopen(libraries[i], RTLD_LAZY))
            bench_refresh(modules, libraries[i]);
        else
            printf("refresh  skipped: %s\n", dlerror());
    bench_refresh(modules, "nothing new");
    map = modules_current(modules);
    const struct sigaction action = {.sa_sigaction = measure, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    forgetful = true;
    bench_walks("mapped unwind information, each look-up anew");
    bench_compile(modules);
    printf("budget   %zu bytes used\n", budget_used(&budget));
    bench_walks("compiled tables, each look-up anew");
    forgetful = false;
    bench_walks("remembered rules");
    modules_free(modules);
    return EXIT_SUCCESS;
}
