/*
 * Waits for locks: the nanoseconds that a thread or a task waits count down, and the wait in
 * which a sample is due is taken on the waiter's stack, once it is over. The hooks are the
 * runtime's own (struct cprof_runtime, lock_open), and a lock that is free costs its thread no
 * more than a look. Short waits are met by chance, long ones always: source/chance.h.
 *
 * Waits for native locks have no hook: they are what the collector's looks see (look/looks.h),
 * in every program.
 */
#include "look/look.h"
#include "source/chance.h"
#include "source/hooked.h"
#include "source/source.h"

#define MOST_A_SECOND 200

static struct hook_way hooks_of(const struct cprof_runtime *runtime)
{
    return (struct hook_way){runtime->lock_open, runtime->lock_close};
}

/* Of both. */
static struct hook_set hooks = {.of = hooks_of,
                                .missing = "waits for this runtime's locks are not counted yet",
                                .instead = look_is_possible};

static const struct source_hook lock_hook = {
    .event = CPROF_EVENT_LOCK, .most_a_second = MOST_A_SECOND, .set = &hooks};
static const struct source_hook blame_hook = {
    .event = CPROF_EVENT_BLAME, .most_a_second = MOST_A_SECOND, .set = &hooks};

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
    .hook = &lock_hook,
    .count = count,
};

/* The same waits by who held the lock meanwhile: each time that a thread lets it go while
 * others wait, what these have waited since the last time. */
const struct source source_blame = {
    .name = "blame",
    .number = SOURCE_BLAME,
    .counts = SOURCE_BIT(SOURCE_BLAME),
    LOCK_BOUNDS,
    .hook = &blame_hook,
    .count = count,
};
