/*
 * Sources whose samples a hook takes, in the runtime or in what it calls: they are opened,
 * closed and kept from being too many alike, so each is a row of struct source_hook, and has no
 * open(), close() and tick() of its own.
 */
#ifndef CPROF_SOURCE_HOOKED_H
#define CPROF_SOURCE_HOOKED_H

#include <stdint.h>

#include "cprof/runtime.h"
#include "cprof/sample.h"
#include "sample/record.h"

/* What puts hooks in, and takes them out again. */
struct hook_way {
    int (*open)(const char **why); /* NULL: this runtime has none */
    void (*close)(void);
};

/* The hooks of one source, or of some that share them. */
struct hook_set {
    struct hook_way (*of)(const struct cprof_runtime *runtime);
    const char *missing;  /* why there are none, for people */
    int (*instead)(void); /* 0: the collector's looks make samples all the same; NULL: they
                             never do */
    void (*before)(void); /* what precedes their open(); NULL: nothing */
    /* While they are in: */
    void (*close)(void);
    uint32_t users; /* bits of the sources */
};

struct source_hook {
    enum cprof_event event;
    uint64_t most_a_second; /* samples of the process; above it the period grows */
    struct hook_set *set;
};

/* [start] As open() and close() of a source. */
int hooked_open(const struct source_hook *hook, enum source_number number, uint64_t period,
                const char **why);
void hooked_close(const struct source_hook *hook, enum source_number number);

/* [collector] Once a turn. */
void hooked_tick(const struct source_hook *hook);

#endif
