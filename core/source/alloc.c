/*
 * Allocations: the bytes that a thread asks for count down (sample/countdown.h), and the
 * allocation in which a sample is due is taken, once its block is there.
 *
 * What one that is met stands for is source/chance.h's to say.
 */
#include "source/source.h"

#include "alloc/alloc.h"
#include "alloc/malloc.h"
#include "sample/hook.h"
#include "source/chance.h"

#define MOST_A_SECOND 200 /* samples of the process; above it the period grows */

static void tick_alloc(void)
{
    hook_temper(CPROF_EVENT_ALLOC, MOST_A_SECOND);
}

static void count_alloc(const struct counted *counted, int64_t *values)
{
    static uint64_t random; /* the collector's */
    count_by_chance(counted, &random, values);
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
