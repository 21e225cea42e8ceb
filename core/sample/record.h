/*
 * A sample as it travels through a ring: a fixed head, then `native_count` native frames, then
 * `frame_count` interpreter frames, both innermost first. Where the native walk met a frame
 * that it could not express, the registers follow, by DWARF number, and `stack_size` bytes of
 * the stack from `sp` on: enough to walk it again outside the handler.
 *
 * Where the kernel's frames are wanted they are the first of the native ones, with addresses
 * that are the kernel's, and occupy nothing of the thread's stack.
 */
#ifndef CPROF_SAMPLE_RECORD_H
#define CPROF_SAMPLE_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "cprof/runtime.h"
#include "unwind/walk.h"

/* What made the sample: the rows of source/sources.c. */
enum source_number {
    SOURCE_CPU,
    SOURCE_OFFCPU,
    SOURCE_WALL,
    SOURCE_ALLOC,
    SOURCE_HEAP,
    SOURCE_LOCK,
    SOURCE_BLAME,
    SOURCE_EXCEPTION,
    SOURCE_GC,
    SOURCES_MAX,
};

struct record {
    uint32_t size;    /* bytes of the whole record, a multiple of 8 */
    uint32_t weight;  /* what it stands for, as its source counts (source/source.h) */
    uint64_t time_ns; /* CLOCK_MONOTONIC */
    uint64_t sp;      /* the stack pointer: where the innermost native frame begins */
    struct cprof_context context;
    uint16_t native_count;
    uint16_t frame_count;
    uint8_t native_end;      /* enum walk_end */
    uint8_t frames_complete; /* the interpreter walk reached its root */
    uint8_t source;          /* enum source_number */
    uint8_t block_shift;     /* the block stands for 2^block_shift like it (live.h) */
    uint32_t stack_size;     /* a multiple of 8; 0: neither registers nor stack */
    uint32_t block;          /* the sampled block's slot + 1 among the live ones; 0: none */
    uint64_t amount;         /* bytes, nanoseconds: of sources that count such */
    uint64_t period;         /* that it was sampled with; 0: that of its source */
    uint64_t lock;           /* that was waited for, by its address; 0: none */
    int32_t holder;          /* who let it go, by the kernel's id; 0: not known */
    uint32_t kind;           /* of sources that have a `label`: see kinds.h; 0: none. Of waits
                                for locks: the name of the task that let it go, and below */
};

/* It is a task that waited, and no thread. */
#define RECORD_OF_TASK (UINT32_C(1) << 31)

#define KERNEL_FRAMES_MAX 64

/* How many kernel frames a record may have: at most half of what there is for native ones. */
static inline size_t kernel_frames_room(size_t max_frames)
{
    return max_frames / 2 < KERNEL_FRAMES_MAX ? max_frames / 2 : KERNEL_FRAMES_MAX;
}

static inline const struct native_frame *record_native(const struct record *record)
{
    return (const struct native_frame *)(record + 1);
}

static inline const struct cprof_frame *record_frames(const struct record *record)
{
    return (const struct cprof_frame *)(record_native(record) + record->native_count);
}

/* With a stack_size that is not 0. */
static inline const uint64_t *record_registers(const struct record *record)
{
    return (const uint64_t *)(record_frames(record) + record->frame_count);
}

_Static_assert(sizeof(struct record) % 8 == 0, "records stay 8-aligned");

#endif
