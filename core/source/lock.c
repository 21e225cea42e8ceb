/*
 * Waits for locks: the nanoseconds that a thread waits count down, and the wait in which a
 * sample is due is taken on the waiter's stack, once it is over. The hooks are the runtime's
 * own (struct cprof_runtime, lock_open), and a lock that is free costs its thread no more than
 * a look. Short waits are met by chance, long ones always: source/chance.h.
 */
#include "source/source.h"

#include <errno.h>

#include "cprof/runtime.h"
#include "sample/hook.h"
#include "sample/take.h"
#include "source/chance.h"

#define MOST_A_SECOND 200 /* samples of the process; above it the period grows */

static const struct cprof_runtime *hooked; /* whose hooks are in */

static int open_lock(uint64_t period, const char **why)
{
    const struct take_view *view = take_seen();
    const struct cprof_runtime *runtime = view != NULL ? view->runtime : NULL;
    if (runtime == NULL || runtime->lock_open == NULL) {
        *why = "waits for this runtime's locks are not counted yet";
        return -ENOTSUP;
    }
    int status = runtime->lock_open(why);
    if (status != 0)
        return status;
    hooked = runtime;
    hook_open(CPROF_EVENT_LOCK, SOURCE_LOCK, period);
    return 0;
}

static void close_lock(void)
{
    hook_close(CPROF_EVENT_LOCK);
    hooked->lock_close();
}

static void tick_lock(void)
{
    hook_temper(CPROF_EVENT_LOCK, MOST_A_SECOND);
}

static void count(const struct counted *counted, int64_t *values)
{
    static uint64_t random; /* the collector's */
    count_by_chance(counted, &random, values);
}

const struct source source_lock = {
    .name = "lock",
    .number = SOURCE_LOCK,
    .unit = SOURCE_TIME,
    .usual = 1000 * 1000,
    .least = 1000,
    .greatest = 1000 * 1000 * 1000,
    .allowed = "a time from 1us to 1s",
    .counts = SOURCE_BIT(SOURCE_LOCK),
    .open = open_lock,
    .close = close_lock,
    .tick = tick_lock,
    .count = count,
};
