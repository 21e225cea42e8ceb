/*
 * How finely history is kept, by its age (CPROF_STORE_AGES): "10s:1h,1m:1d,1h:30d" is intervals
 * of 10 s until they are an hour old, of a minute until they are a day old, of an hour until
 * they are 30 days old, and nothing beyond. Plain data, pure functions; times in ns.
 */
#ifndef CPROF_STORE_AGES_H
#define CPROF_STORE_AGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AGES_MAX 8
#define AGES_DEFAULT "10s:1h,1m:1d,1h:30d"

struct age {
    uint64_t resolution; /* whole seconds, at most UINT32_MAX of them */
    uint64_t keep;       /* until that old */
};

struct ages {
    size_t count; /* 1 to AGES_MAX; both numbers grow */
    struct age list[AGES_MAX];
};

/* False: it makes no sense. */
bool ages_parse(const char *text, struct ages *ages);

/* Which of them what is that old falls under; their count: none, it is too old. */
size_t ages_find(const struct ages *ages, uint64_t age);

/* How old something must be to fall under that one: where the one before it ends. */
uint64_t ages_begin(const struct ages *ages, size_t which);

#endif
