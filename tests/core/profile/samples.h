/* Profiles for tests: a repeatable random one with everything in it, and small helpers. */
#ifndef TESTS_PROFILE_SAMPLES_H
#define TESTS_PROFILE_SAMPLES_H

#include "profile/profile.h"

/* A repeatable sequence of numbers below `bound`. */
uint32_t next_random(uint64_t *state, uint32_t bound);

/* Columns samples/count and cpu/nanoseconds, period 10 ms. */
struct profile *cpu_profile(struct budget *budget);

/* Adds `count` random samples of those columns: inlined and interpreted frames, mappings,
 * links, labels with text and numbers. Two profiles with the same seed get the same samples,
 * and any two share strings, functions and stacks. */
void add_random_samples(struct profile *p, uint64_t seed, size_t count);

/* A function of one name, at one line, in a stack of its own. */
profile_id named_location(struct profile *p, const char *name, int64_t line);

/* The sum of a column over all samples. */
int64_t column_total(const struct profile *p, size_t column);

#endif
