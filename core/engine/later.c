#include "engine/later.h"

#include <pthread.h>
#include <stddef.h>
#include <time.h>

#include "base/own_thread.h"
#include "engine/alone.h"

static struct {
    void (*due)(void);
    void (*over)(void);
} later;

bool later_is_due(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID) >= LATER_CPU_NS;
}

/* No CPU is used in less time than that. */
static void *wait(void *unused)
{
    const struct timespec step = {.tv_nsec = LATER_CPU_NS};
    uint64_t limit = clock_ns(CLOCK_MONOTONIC) + LATER_WALL_NS;
    bool over = false;
    do {
        nanosleep(&step, NULL);
        over = alone();
    } while (!over && !later_is_due() && clock_ns(CLOCK_MONOTONIC) < limit);
    (over ? later.over : later.due)();
    return unused;
}

int later_call(void (*due)(void), void (*over)(void))
{
    pthread_t thread;
    later.due = due;
    later.over = over;
    int error = own_thread_start_quietly(&thread, OWN_THREAD_PREFIX "later", wait, NULL);
    if (error == 0)
        pthread_detach(thread);
    return error;
}
