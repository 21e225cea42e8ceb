/*
 * What the kernel has written of one thread into the ring of its event (kernel_event.h): at
 * each sample the kernel functions that it was in. Handler code: memory is read and nothing
 * else.
 *
 * The thread's handler is the only reader, the kernel the only writer, and it writes while that
 * very thread runs.
 */
#ifndef CPROF_SAMPLE_KERNEL_RING_H
#define CPROF_SAMPLE_KERNEL_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sample/record.h"

struct perf_event_mmap_page;

/* A sample; the functions' addresses are innermost first, each ready to be looked up. */
struct kernel_chain {
    size_t count; /* 0: the thread ran its own code */
    bool more;    /* there is another sample behind it */
    uintptr_t functions[KERNEL_FRAMES_MAX];
};

/* [handler] The oldest sample that has not been read; false: there is none. */
bool kernel_ring_next(struct perf_event_mmap_page *ring, struct kernel_chain *chain);

#endif
