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

static struct {
    const struct cprof_runtime *runtime; /* whose hooks are in */
    unsigned users;                      /* of the two sources */
} hooks;

static int hooks_in(const char **why)
{
    const struct take_view *view = take_seen();
    const struct cprof_runtime *runtime = view != NULL ? view->runtime : NULL;
    if (runtime == NULL || runtime->lock_open == NULL) {
        *why = "waits for this runtime's locks are not counted yet";
        return -ENOTSUP;
    }
    int status = hooks.users == 0 ? runtime->lock_open(why) : 0;
    if (status == 0) {
        hooks.runtime = runtime;
        hooks.users++;
    }
    return status;
}

static void hooks_out(void)
{
    if (--hooks.users == 0)
        hooks.runtime->lock_close();
}

static int open_lock(uint64_t period, const char **why)
{
    int status = hooks_in(why);
    if (status == 0)
        hook_open(CPROF_EVENT_LOCK, SOURCE_LOCK, period);
    return status;
}

static void close_lock(void)
{
    hook_close(CPROF_EVENT_LOCK);
    hooks_out();
}

static void tick_lock(void)
{
    hook_temper(CPROF_EVENT_LOCK, MOST_A_SECOND);
}

static int open_blame(uint64_t period, const char **why)
{
    int status = hooks_in(why);
    if (status == 0)
        hook_open(CPROF_EVENT_BLAME, SOURCE_BLAME, period);
    return status;
}

static void close_blame(void)
{
    hook_close(CPROF_EVENT_BLAME);
    hooks_out();
}

static void tick_blame(void)
{
    hook_temper(CPROF_EVENT_BLAME, MOST_A_SECOND);
}

static void count(const struct counted *counted, int64_t *values)
{
    static uint64_t random; /* the collector's */
    count_by_chance(counted, &random, values);
}

#define LOCK_BOUNDS                                                                            \
    .unit = SOURCE_TIME, .usual = 1000 * 1000, .least = 1000, .greatest = 1000 * 1000 * 1000,  \
    .allowed = "a time from 1us to 1s"

const struct source source_lock = {
    .name = "lock",
    .number = SOURCE_LOCK,
    .counts = SOURCE_BIT(SOURCE_LOCK),
    LOCK_BOUNDS,
    .open = open_lock,
    .close = close_lock,
    .tick = tick_lock,
    .count = count,
    .interpreted = true,
};

/* The same waits by who held the lock meanwhile: each time that a thread lets it go while
 * others wait, what these have waited since the last time. */
const struct source source_blame = {
    .name = "blame",
    .number = SOURCE_BLAME,
    .counts = SOURCE_BIT(SOURCE_BLAME),
    LOCK_BOUNDS,
    .open = open_blame,
    .close = close_blame,
    .tick = tick_blame,
    .count = count,
    .interpreted = true,
};
