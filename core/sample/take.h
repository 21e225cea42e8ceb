/*
 * A take: one sample of the calling thread, for whichever source wants one. It reserves room in
 * the thread's ring, walks the native and the interpreted frames, reads the span and the
 * labels, and commits. It copies; naming is the collector's work.
 *
 * take_show() gives takes what they need, or takes it from them. Whoever takes a sample first
 * marks the thread's record (threads_begin()), then looks at take_seen(): so one who has shown
 * NULL and then finds threads_busy() false knows that nobody uses the view any more. Until then
 * all that `struct take_view` points to must live.
 */
#ifndef CPROF_SAMPLE_TAKE_H
#define CPROF_SAMPLE_TAKE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cprof/runtime.h"
#include "sample/record.h"
#include "unwind/modules.h"

struct kernel_chain;
struct thread;

struct take_view {
    const struct cprof_runtime *runtime; /* NULL: native frames only */
    struct modules *modules;
    bool native;            /* keep native frames */
    uint16_t max_frames;    /* of each kind in one record */
    _Atomic uint32_t *wake; /* posted when a ring is filling, and */
    atomic_bool *unknown;   /* when this was false and code was met that no module covers */
    _Atomic size_t
        *copies; /* stacks that may still be copied until the collector allows more */
};

/* What a source says of the sample that it wants. */
struct take {
    uint64_t time_ns; /* CLOCK_MONOTONIC */
    uint32_t weight;  /* in the source's own unit: see source/source.h */
    enum source_number source;
    uint64_t amount, period; /* see struct record; 0: the source has none */
    const void *block;       /* that is to be listed as live (live.h); NULL: none */
    uint64_t lock;           /* see struct record, all three */
    pid_t holder;
    uint32_t kind;
};

/* From where the walk goes. */
struct take_point {
    const void *ucontext; /* a signal handler's third argument; NULL in ordinary code */
    struct cprof_registers registers;
    const struct kernel_chain *kernel; /* functions that called nothing of the thread's; NULL */
    bool interpreted; /* the native frames are not wanted: a task's stack is its coroutines' */
};

/* Bytes of a stack that are copied at most; less where the ring has no room. */
#define TAKE_STACK_MAX ((size_t)32 << 10)

/* Bytes of the largest record. */
static inline size_t take_record_max(size_t max_frames)
{
    return sizeof(struct record) +
           max_frames * (sizeof(struct native_frame) + sizeof(struct cprof_frame));
}

/* What takes see from now on; NULL: nothing. */
void take_show(const struct take_view *view);

/* [handler] NULL: no samples are to be taken. */
const struct take_view *take_seen(void);

enum take_result {
    TAKE_LOST, /* there was no room for it: the caller counts what is lost */
    TAKE_DONE,
    TAKE_LISTED, /* and the block is listed */
};

/* [handler] Takes a sample of the calling thread from that point. */
enum take_result take_sample(const struct take_view *view, struct thread *thread,
                             const struct take *take, const struct take_point *point);

#endif
