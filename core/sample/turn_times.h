/*
 * How long turns of an event loop took: numbers and sums by length, two classes to a power of
 * two, and the delays that come of them (loops.h). One thread adds, any thread reads: what it
 * reads of a turn that ends at that moment may be half of it. Pure, but for the adding.
 */
#ifndef CPROF_SAMPLE_TURN_TIMES_H
#define CPROF_SAMPLE_TURN_TIMES_H

#include <stdatomic.h>
#include <stdint.h>

#define TURN_CLASSES 64 /* from 1.5 us on to 50 minutes and more */

struct turn_times {
    _Atomic uint64_t count[TURN_CLASSES], sum_ns[TURN_CLASSES];
};

void turn_times_add(struct turn_times *times, uint64_t ns);

/* Turns of some time: what was added between two moments. */
struct turn_sums {
    uint64_t count[TURN_CLASSES], sum_ns[TURN_CLASSES];
};
void turn_times_read(const struct turn_times *times, struct turn_sums *sums);
void turn_sums_subtract(struct turn_sums *sums, const struct turn_sums *before);
void turn_sums_add(struct turn_sums *sums, uint64_t ns);

/* The delay that a share of all moments does not exceed, of a time of `span` ns in which these
 * turns were; and the mean of all moments. `longest` is the longest of the turns. */
uint64_t turn_sums_quantile(const struct turn_sums *sums, uint64_t span, uint64_t longest,
                            double share);
uint64_t turn_sums_mean(const struct turn_sums *sums, uint64_t span);

#endif
