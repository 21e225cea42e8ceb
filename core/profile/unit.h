/*
 * Units by their many names: "ns" and "nanoseconds" are one, "ms" is of the same kind. Constant
 * and without state: for every thread.
 */
#ifndef CPROF_PROFILE_UNIT_H
#define CPROF_PROFILE_UNIT_H

#include <stdint.h>

/* What is neither time nor memory is a number of something. */
enum unit_kind { UNIT_COUNT, UNIT_TIME, UNIT_BYTES };

#define UNIT_NAMES 6

struct unit {
    enum unit_kind kind;
    int64_t factor;                /* nanoseconds or bytes of one */
    const char *names[UNIT_NAMES]; /* whatever their case; the first is what cprof writes */
};

/* NULL: a number of something. */
const struct unit *unit_find(const char *name);

enum unit_kind unit_kind(const char *name);

/* What values in the unit `from` are multiplied by to be in the unit `to`. 0: they are not of
 * one kind, or `to` is the coarser one. */
int64_t unit_ratio(const char *from, const char *to);

/* A unit in which whole values of both stay whole, the finer of the two; NULL: they are not of
 * one kind. Of one text it is that; else it has the name that cprof writes. */
const char *unit_common(const char *a, const char *b);

#endif
