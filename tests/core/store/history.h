/* A made-up service for tests of the store: intervals whose sums are known, in a folder. */
#ifndef TESTS_STORE_HISTORY_H
#define TESTS_STORE_HISTORY_H

#include "profile/profile.h"
#include "store/read.h"
#include "store/store.h"

#define SECOND ((uint64_t)1000000000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define EPOCH (1700000000 / 3600 * HOUR) /* a full hour */

/* The number-th interval of 10 s since EPOCH of a process: 8 stacks of which some are always
 * the same, `history_count(number)` samples. */
struct profile *history_profile(uint64_t number, int pid);
int64_t history_count(uint64_t number);
uint64_t history_time(uint64_t number); /* when it ends */

extern struct budget *history_budget; /* NULL: none */
struct store *history_open(const char *service, size_t limit, const char *ages);

/* Puts one at its time, and tends as the sink does; fails the test if it can't. */
void history_put(struct store *store, uint64_t number, int pid);

/* What a folder holds. */
struct held {
    int64_t samples, cpu;
    size_t intervals, damaged;
    uint64_t shortest, longest; /* of the intervals */
    uint64_t earliest;          /* when the first begins */
    char line[512];             /* told of a damaged file */
    int status;
};
struct held history_read(const char *service, uint64_t from, uint64_t to);

/* The sum of history_count() from `first` up to, not including, `end`. */
int64_t history_sum(uint64_t first, uint64_t end);

#endif
