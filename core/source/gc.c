/*
 * Pauses of the garbage collector, with the stack that made it collect: each is taken, or one
 * in so many, as exceptions are (exception.c), and stands for as many of its length. How often
 * and how long altogether is counted besides, without any chance (sample/pauses.h).
 * docs/collections.md says what each runtime tells.
 */
#include "source/source.h"

#include <errno.h>

#include "cprof/runtime.h"
#include "sample/hook.h"
#include "sample/pauses.h"
#include "sample/take.h"

#define MOST_A_SECOND 200 /* samples of the process; above it the period grows */

static const struct cprof_runtime *opened; /* whose hooks are in */

static int open_gc(uint64_t period, const char **why)
{
    const struct take_view *view = take_seen();
    const struct cprof_runtime *runtime = view != NULL ? view->runtime : NULL;
    *why = "this runtime does not tell of them";
    if (runtime == NULL || runtime->gc_open == NULL)
        return -ENOTSUP;
    pauses_reset();
    int status = runtime->gc_open(why);
    if (status != 0)
        return status;
    opened = runtime;
    hook_open(CPROF_EVENT_GC, SOURCE_GC, period);
    return 0;
}

static void close_gc(void)
{
    hook_close(CPROF_EVENT_GC);
    opened->gc_close();
    opened = NULL;
}

static void tick(void)
{
    hook_temper(CPROF_EVENT_GC, MOST_A_SECOND);
}

static void count(const struct counted *counted, int64_t *values)
{
    values[0] = (int64_t)(counted->weight * counted->period);
    values[1] = (int64_t)(counted->weight * counted->period * counted->amount);
}

const struct source source_gc = {
    .name = "gc",
    .number = SOURCE_GC,
    .unit = SOURCE_COUNT,
    .usual = 1,
    .least = 1,
    .greatest = 1000000,
    .allowed = "a whole number N from 1 to 1000000: one pause in N is taken",
    .label = "gc.cause",
    .second_label = "gc.generation",
    .separator = PAUSES_SEPARATOR,
    .interpreted = true,
    .counts = SOURCE_BIT(SOURCE_GC),
    .open = open_gc,
    .close = close_gc,
    .tick = tick,
    .count = count,
};
