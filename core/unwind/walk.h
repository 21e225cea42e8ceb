/*
 * The native stack walker. Signal-safe: walk.c is handler code.
 *
 * Walks from an interrupted thread's registers to its first function with the compiled tables
 * of a module snapshot, by frame pointer where a module has none. Never reads outside the
 * bounds it is given or has verified; never calls libunwind.
 */
#ifndef CPROF_UNWIND_WALK_H
#define CPROF_UNWIND_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cprof/runtime.h"
#include "unwind/modules.h"

struct native_frame {
    uintptr_t pc;  /* exact for the innermost frame and frames interrupted by a signal; a
                      return address otherwise (look up pc - 1) */
    uintptr_t cfa; /* canonical frame address: the frame occupies [callee's cfa, cfa) */
};

/* Readable stack memory around the stack pointer: [low, high). A thread keeps its bounds
 * between samples; walk_bounds() renews them when the stack pointer lies outside (first
 * sample, fibers, alternate stacks) with at most a few system calls. */
struct stack_bounds {
    uintptr_t low, high;
};

/* [handler] True when sp lies in bounds now. */
bool walk_bounds(struct stack_bounds *bounds, uintptr_t sp);

enum walk_end {
    WALK_COMPLETE,  /* reached the thread's first function */
    WALK_FULL,      /* more than `capacity` frames */
    WALK_NO_MODULE, /* a pc that no module of the snapshot covers (new code: refresh soon) */
    WALK_NO_RULE,   /* no table or a rule that tables can't express, and no frame pointer */
    WALK_BAD_STACK, /* a frame address that is out of bounds or does not ascend */
};

struct walk_result {
    size_t native_count;
    size_t stepped_count; /* frames written by `step` */
    enum walk_end end;
};

/* [handler] `step` may be NULL (see runtime.h); stepped frames go to `stepped` with their stack
 * field set to lie inside the native_frame that is recorded for them. */
struct walk_result walk_frames(const struct module_map *map, const struct stack_bounds *bounds,
                               const struct cprof_interrupted *thread,
                               const struct cprof_runtime *runtime,
                               struct native_frame *native, size_t native_capacity,
                               struct cprof_frame *stepped, size_t stepped_capacity);

/* [handler] The registers of a ucontext_t. */
struct cprof_registers walk_registers(const void *ucontext);

#endif
