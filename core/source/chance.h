/*
 * What a sample counts where amounts are counted down (sample/countdown.h): bytes that are
 * allocated, nanoseconds that are waited.
 *
 * An amount `a` is met with the chance p = 1 - exp(-a / period). So one that is met stands for
 * 1/p events, of a/p in all: each counts by its own chance, whatever others its stack makes,
 * and the expected sums are the true ones, for amounts of all kinds. With n samples of a stack
 * its sum is right to within a standard deviation of 1/sqrt(n).
 */
#ifndef CPROF_SOURCE_CHANCE_H
#define CPROF_SOURCE_CHANCE_H

#include <math.h>

#include "source/source.h"

/* Rounds to one of the two whole numbers beside it, by chance: so sums come out right. */
static inline int64_t round_by_chance(double value, uint64_t *random)
{
    *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int64_t)(value + (double)(*random >> 11) * 0x1p-53);
}

/* Events, and their amount. */
static inline void count_by_chance(const struct counted *counted, uint64_t *random,
                                   int64_t *values)
{
    double amount = (double)counted->amount;
    double chance = -expm1(-amount / (double)counted->period);
    values[0] = round_by_chance((double)counted->weight / chance, random);
    values[1] = (int64_t)((double)counted->weight * amount / chance + 0.5);
}

#endif
