/*
 * Where memory is allocated: the hooks that the sources `alloc` and `heap` share, in while at
 * least one of the two is open. The runtime's own (struct cprof_runtime, alloc_open) see what
 * never reaches malloc. Each byte is counted by one of them.
 *
 * [start] all of it: one thread at a time, with the engine's lifecycle.
 */
#ifndef CPROF_ALLOC_ALLOC_H
#define CPROF_ALLOC_ALLOC_H

#include <stdint.h>

/* Allocations are sampled from now on, at the smaller period of those who want them. 0, or a
 * negative errno with *why for people. */
int alloc_open(uint64_t period, const char **why);
void alloc_close(void);

#endif
