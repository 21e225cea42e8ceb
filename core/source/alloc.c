/*
 * Allocations: the bytes that a thread asks for count down (sample/countdown.h), and the
 * allocation in which a sample is due is taken, once its block is there.
 *
 * An allocation of `size` bytes is met with the chance p = 1 - exp(-size / period). So one that
 * is met stands for 1/p allocations, of size/p bytes: each counts by its own chance, whatever
 * others its stack makes, and the expected sums are the true ones, for sizes of all kinds. With
 * n samples of a stack its bytes are right to within a standard deviation of 1/sqrt(n).
 */
#include "source/source.h"

#include <math.h>

#include "alloc/alloc.h"
#include "alloc/malloc.h"
#include "sample/hook.h"

#define MOST_A_SECOND 200 /* samples of the process; above it the period grows */

static void tick_alloc(void)
{
    hook_temper(CPROF_EVENT_ALLOC, MOST_A_SECOND);
}

/* Rounds to one of the two whole numbers beside it, by chance: so sums come out right. */
static int64_t round_by_chance(double value, uint64_t *random)
{
    *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int64_t)(value + (double)(*random >> 11) * 0x1p-53);
}

static void count_alloc(const struct counted *counted, int64_t *values)
{
    static uint64_t random; /* the collector's */
    double size = (double)counted->amount;
    double chance = -expm1(-size / (double)counted->period);
    values[0] = round_by_chance((double)counted->weight / chance, &random);
    values[1] = (int64_t)((double)counted->weight * size / chance + 0.5);
}

#define ALLOC_BOUNDS                                                                           \
    .unit = SOURCE_BYTES, .usual = 512 << 10, .least = 1 << 10, .greatest = 1 << 30,           \
    .allowed = "a size from 1k to 1g"

const struct source source_alloc = {
    .name = "alloc",
    .number = SOURCE_ALLOC,
    .counts = SOURCE_BIT(SOURCE_ALLOC),
    ALLOC_BOUNDS,
    .open = alloc_open,
    .close = alloc_close,
    .tick = tick_alloc,
    .follow = malloc_follow,
    .count = count_alloc,
};

/* The same allocations, as long as their blocks are not freed: which those are, and what stands
 * in the sheet, is collect/blocks.h's. */
const struct source source_heap = {
    .name = "heap",
    .number = SOURCE_HEAP,
    .counts = SOURCE_BIT(SOURCE_HEAP),
    ALLOC_BOUNDS,
    .open = alloc_open,
    .close = alloc_close,
    .tick = tick_alloc,
    .follow = malloc_follow,
    .count = count_alloc,
};
