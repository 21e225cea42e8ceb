/*
 * Elapsed time: CPU time, waiting for a CPU, and waiting, together. It makes no samples of its
 * own: it counts those of cpu and of offcpu.
 */
#include "source/source.h"

#include "base/clock.h"

static void count(const struct counted *counted, int64_t *values)
{
    int64_t each = counted->maker == SOURCE_CPU ? (int64_t)counted->period : SOURCE_OFFCPU_NS;
    values[0] = (int64_t)counted->weight * each;
}

const struct source source_wall = {
    .name = "wall",
    .number = SOURCE_WALL,
    .unit = SOURCE_HERTZ,
    .usual = NS_PER_SECOND / 20,
    .least = NS_PER_SECOND / 100,
    .greatest = NS_PER_SECOND,
    .allowed = "a rate from 1hz to 100hz",
    .counts = SOURCE_BIT(SOURCE_CPU) | SOURCE_BIT(SOURCE_OFFCPU),
    .count = count,
};
