/*
 * Exceptions: those that are raised, one in so many, with the stack that raises them. The
 * runtime tells of each (struct cprof_runtime, exception_open); its hook counts them down and
 * takes the one that is due, whose kind is the name of its type. docs/exceptions.md says what
 * counts as one.
 *
 * Each is met with the chance 1 / period, whatever came before it (sample/countdown.h). So one
 * that is met stands for `period` of them, and with a period of 1 the counts are exact.
 */
#include "source/hooked.h"
#include "source/source.h"

static struct hook_way hooks_of(const struct cprof_runtime *runtime)
{
    return (struct hook_way){runtime->exception_open, runtime->exception_close};
}

static struct hook_set hooks = {.of = hooks_of,
                                .missing = "this runtime does not tell of them"};

static const struct source_hook hook = {
    .event = CPROF_EVENT_EXCEPTION, .most_a_second = 2000, .set = &hooks};

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
    .hook = &hook,
    .count = count,
};
