/*
 * Exceptions: those that are raised, one in so many, with the stack that raises them. The
 * runtime tells of each (struct cprof_runtime, exception_open); its hook counts them down and
 * takes the one that is due, whose kind is the name of its type. docs/exceptions.md says what
 * counts as one.
 *
 * Each is met with the chance 1 / period, whatever came before it (sample/countdown.h). So one
 * that is met stands for `period` of them, and with a period of 1 the counts are exact.
 */
#include "source/source.h"

#include <errno.h>

#include "cprof/runtime.h"
#include "sample/hook.h"
#include "sample/take.h"

#define MOST_A_SECOND 2000 /* samples of the process; above it the period grows */

static const struct cprof_runtime *opened; /* whose hooks are in */

static int open_exception(uint64_t period, const char **why)
{
    const struct take_view *view = take_seen();
    const struct cprof_runtime *runtime = view != NULL ? view->runtime : NULL;
    *why = "this runtime does not tell of them";
    if (runtime == NULL || runtime->exception_open == NULL)
        return -ENOTSUP;
    int status = runtime->exception_open(why);
    if (status != 0)
        return status;
    opened = runtime;
    hook_open(CPROF_EVENT_EXCEPTION, SOURCE_EXCEPTION, period);
    return 0;
}

static void close_exception(void)
{
    hook_close(CPROF_EVENT_EXCEPTION);
    opened->exception_close();
    opened = NULL;
}

static void tick(void)
{
    hook_temper(CPROF_EVENT_EXCEPTION, MOST_A_SECOND);
}

static void count(const struct counted *counted, int64_t *values)
{
    values[0] = (int64_t)(counted->weight * counted->period);
}

const struct source source_exception = {
    .name = "exception",
    .number = SOURCE_EXCEPTION,
    .unit = SOURCE_COUNT,
    .usual = 100,
    .least = 1,
    .greatest = 1000000,
    .allowed = "a whole number N from 1 to 1000000: one in N is taken",
    .label = "exception.type",
    .interpreted = true,
    .counts = SOURCE_BIT(SOURCE_EXCEPTION),
    .open = open_exception,
    .close = close_exception,
    .tick = tick,
    .count = count,
};
