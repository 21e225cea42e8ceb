/*
 * Pauses of the garbage collector, with the stack that made it collect: each is taken, or one
 * in so many, as exceptions are (exception.c), and stands for as many of its length. How often
 * and how long altogether is counted besides, without any chance (sample/pauses.h).
 * docs/collections.md says what each runtime tells.
 */
#include "sample/pauses.h"
#include "source/hooked.h"
#include "source/source.h"

static struct hook_way hooks_of(const struct cprof_runtime *runtime)
{
    return (struct hook_way){runtime->gc_open, runtime->gc_close};
}

static struct hook_set hooks = {
    .of = hooks_of, .missing = "this runtime does not tell of them", .before = pauses_reset};

static const struct source_hook hook = {
    .event = CPROF_EVENT_GC, .most_a_second = 200, .set = &hooks};

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
    .hook = &hook,
    .count = count,
};
