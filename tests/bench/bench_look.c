/* What looks at threads that sleep cost: prints nanoseconds of CPU time a look, the best of the
 * rounds, for one that finds the thread where it was and for one with a walk.
 *
 *   bench_look [THREADS] [DEPTH] */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "look/looks.h"
#include "sample/take.h"
#include "sample/threads.h"

enum { ROUNDS = 20 };

static int depth = 20;
static atomic_int asleep;

__attribute__((noinline)) static int sleep_below(int frames)
{
    volatile char room[100];
    room[0] = (char)frames;
    if (frames > 0)
        return sleep_below(frames - 1) + room[0];
    atomic_fetch_add(&asleep, 1);
    while (atomic_load(&asleep) > 0)
        pause();
    return 0;
}

static void *sleeper(void *unused)
{
    sleep_below(depth);
    return unused;
}

static int place(void *closure, const struct thread_view *thread, const struct record *record,
                 const struct wait *wait, bool may_wait, struct thread_last *where)
{
    (void)closure, (void)thread, (void)record, (void)wait, (void)may_wait;
    *where = (struct thread_last){0};
    return 0;
}

static void waited(void *closure, const struct thread_view *thread,
                   const struct thread_last *where, uint32_t microseconds)
{
    (void)closure, (void)thread, (void)where, (void)microseconds;
}

static void delayed(void *closure, const struct thread_view *thread, uint32_t microseconds)
{
    (void)closure, (void)thread, (void)microseconds;
}

static struct modules_reader *no_readers(void *closure, size_t index)
{
    (void)closure, (void)index;
    return NULL;
}

/* A period so long that every thread is due in every round. */
static struct looks *looks_at_all(struct budget *budget, const struct looks_receiver *receiver)
{
    const struct looks_config config = {
        .looker = {.budget = budget, .native = true, .max_frames = 512},
        .period_ns = 100 * NS_PER_SECOND,
        .receiver = receiver};
    return looks_new(&config);
}

static double round_ns(struct looks *looks, const struct modules *modules, int threads)
{
    struct looks_counts before, after;
    looks_count(looks, &before);
    looks_round(looks, modules_current(modules));
    looks_count(looks, &after);
    return (double)(after.cpu_ns - before.cpu_ns) / threads;
}

int main(int argc, char **argv)
{
    static const struct looks_receiver receiver = {
        .place = place, .waited = waited, .delayed = delayed};
    int threads = argc > 1 ? atoi(argv[1]) : 500;
    depth = argc > 2 ? atoi(argv[2]) : depth;
    struct budget budget;
    budget_init(&budget, (size_t)64 << 20);
    struct modules *modules = modules_new(&budget);
    modules_refresh(modules, no_readers, NULL);
    const struct threads_config registry = {.record_max = take_record_max(512),
                                            .budget = &budget};
    threads_open(&registry);
    for (int i = 0; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, sleeper, NULL) != 0)
            return 1;
    }
    while (atomic_load(&asleep) < threads)
        usleep(1000);
    usleep(100000);
    threads_scan(true);
    double anew = 1e9, unmoved = 1e9;
    for (int i = 0; i < ROUNDS; i++) {
        struct looks *looks = looks_at_all(&budget, &receiver);
        double took = round_ns(looks, modules, threads);
        anew = took < anew ? took : anew;
        took = round_ns(looks, modules, threads);
        unmoved = took < unmoved ? took : unmoved;
        looks_free(looks);
        while (modules_compile(modules)) /* what the first round has met */
            ;
    }
    printf("%d threads, %d frames: unmoved %.0f ns, with a walk %.0f ns a look\n", threads,
           depth + 5, unmoved, anew);
    fflush(stdout);
    _exit(0);
}
