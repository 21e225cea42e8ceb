/*
 * Does a level grow, or is it the sampling that makes it look so? Of a series of levels at
 * known moments, such as the bytes that a stack keeps: how fast it grows, and how sure that is.
 * Pure.
 *
 * A level of y bytes, sampled once in T, rests on at least y / T observations. Blocks that live
 * on are the same in each look, so two looks differ by less than two independent counts do:
 * what is asked is more than it must be. The series is cut into quarters, whose means are
 * compared. A level grows where
 *   - the last quarter has more than the first by more than chance explains, as two Poisson
 *     counts (comparison.h has the formula): with GROWTH_CONFIDENT, and that of all `tested`
 *     series together, as the best of many looks well by chance;
 *   - it also has more than the second, so that what stands still after its start is none;
 *   - each quarter has more than the one before, by a tenth of the mean step at least;
 *   - a line goes through it: it rises by four times what the levels stand off from it. What
 *     goes up and down with the load is no growth, however large the counts are.
 */
#ifndef CPROF_CLI_GROWTH_H
#define CPROF_CLI_GROWTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GROWTH_LEAST 4 /* levels */
#define GROWTH_CONFIDENT 0.999

struct growth_series {
    const uint64_t *times; /* ns, rising */
    const double *levels;
    size_t count;
    double period; /* T */
};

struct growth {
    double first, last; /* means of the first and the last quarter */
    double per_hour,
        deviation;     /* of the line; what sampling makes of it: one standard deviation */
    double confidence; /* that it is more than chance: 0 … 1 */
    bool grows;
};

/* Of GROWTH_LEAST levels or more. */
struct growth growth_of(const struct growth_series *series, size_t tested);

#endif
