/*
 * How much CPU time something may take of the process's: a share of what that runs, and a
 * thousandth of one CPU besides, of which at most 20 ms are saved up. What has taken too much
 * waits until that has come in, which is looked at up to twenty times a second, or for
 * `longest`. Belongs to one thread.
 */
#ifndef CPROF_LOOK_ALLOWANCE_H
#define CPROF_LOOK_ALLOWANCE_H

#include <stdbool.h>
#include <stdint.h>

struct allowance {
    int64_t left;
    uint64_t share; /* of the process's CPU time: one part of so many */
    uint64_t longest;
    uint64_t process_ns; /* its CPU clock when that was last raised */
    uint64_t raised;     /* and CLOCK_MONOTONIC */
    uint64_t income;     /* when more is looked for next */
    uint64_t spent;      /* when more could last be taken */
};

void allowance_begin(struct allowance *allowance, uint64_t share, uint64_t longest);

/* May more be taken now? */
bool allowance_raise(struct allowance *allowance, uint64_t now);

void allowance_take(struct allowance *allowance, uint64_t cpu_ns);

#endif
