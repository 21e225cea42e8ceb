/*
 * Threads that are sampled a thousand times a second while they load and unload libraries,
 * allocate and throw stacks about, beside a collector that refreshes without rest. A watchdog
 * kills what hangs. CPROF_STRESS_SECONDS makes it longer.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "unwind/modules.h"
#include "unwind/walk.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum { WORKERS = 3, CAPACITY = 64, PATIENCE_S = 60 };

struct worker {
    pthread_t thread;
    struct modules_reader reader;
    struct stack_bounds bounds;
    struct walk_memory memory;
    unsigned samples, complete, bad;
};

static struct modules *modules;
static struct worker workers[WORKERS];
static atomic_bool done;

static struct modules_reader *readers(void *closure, size_t index)
{
    (void)closure;
    return index < WORKERS ? &workers[index].reader : NULL;
}

static void sample(int signo, siginfo_t *info, void *context)
{
    struct worker *worker = info->si_value.sival_ptr;
    struct native_frame native[CAPACITY];
    const struct cprof_interrupted thread = {.ucontext = context,
                                             .registers = walk_registers(context)};
    (void)signo;
    if (!walk_bounds(&worker->bounds, thread.registers.sp))
        return;
    const struct walk_room room = {.native = native,
                                   .native_capacity = CAPACITY,
                                   .bounds = &worker->bounds,
                                   .memory = &worker->memory};
    const struct module_map *map = modules_enter(modules, &worker->reader);
    struct walk_result result = walk_frames(map, &thread, NULL, &room);
    modules_leave(&worker->reader);
    worker->samples++;
    worker->complete += result.end == WALK_COMPLETE;
    worker->bad += result.end == WALK_BAD_STACK;
}

static timer_t start_timer(struct worker *worker)
{
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID,
                             .sigev_signo = SIGPROF,
                             .sigev_value.sival_ptr = worker};
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    const struct itimerspec period = {.it_interval.tv_nsec = 1000003,
                                      .it_value.tv_nsec = 1000003};
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    timer_settime(timer, 0, &period, NULL);
    return timer;
}

static int spend(int value)
{
    void *block = malloc((size_t)(value % 5000 + 16));
    for (volatile int i = 0; i < 2000; i++)
        ;
    free(block);
    return value;
}

static void *work(void *argument)
{
    static const char *const paths[] = {PLUGIN, OTHER_PLUGIN};
    struct worker *worker = argument;
    timer_t timer = start_timer(worker);
    for (int i = 0; !atomic_load(&done); i++) {
        void *plugin = dlopen(paths[i % 2], RTLD_NOW);
        int (*call)(int (*)(int), int) =
            (int (*)(int (*)(int), int))(uintptr_t)dlsym(plugin, "plugin_call");
        for (int j = 0; j < 20; j++)
            call(spend, j * 331);
        dlclose(plugin);
    }
    timer_delete(timer);
    return NULL;
}

static void sampled_threads_may_load_and_unload_libraries(void **state)
{
    const char *seconds = getenv("CPROF_STRESS_SECONDS");
    unsigned duration = seconds ? (unsigned)atoi(seconds) : 3;
    const struct sigaction action = {.sa_sigaction = sample,
                                     .sa_flags = SA_SIGINFO | SA_RESTART};
    const struct timespec pause = {.tv_nsec = 200000};
    unsigned snapshots = 0;
    struct worker sum = {.samples = 0};
    struct budget budget;
    (void)state;
    alarm(duration + PATIENCE_S);
    budget_init(&budget, 0);
    modules = modules_new(&budget);
    sigaction(SIGPROF, &action, NULL);
    for (size_t i = 0; i < WORKERS; i++)
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    uint64_t end = clock_ns(CLOCK_MONOTONIC) + duration * NS_PER_SECOND;
    while (clock_ns(CLOCK_MONOTONIC) < end) {
        snapshots += modules_refresh(modules, readers, NULL) == 1;
        modules_compile(modules);
        nanosleep(&pause, NULL);
    }
    atomic_store(&done, true);
    for (size_t i = 0; i < WORKERS; i++) {
        pthread_join(workers[i].thread, NULL);
        sum.samples += workers[i].samples;
        sum.complete += workers[i].complete;
        sum.bad += workers[i].bad;
    }
    modules_free(modules);
    printf("%u snapshots, %u samples: %u complete, %u bad stacks\n", snapshots, sum.samples,
           sum.complete, sum.bad);
    assert_true(snapshots > 20);
    assert_true(sum.samples > 100);
    assert_int_equal(budget_used(&budget), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sampled_threads_may_load_and_unload_libraries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
