/*
 * The native stack walker. Signal-safe: handler code, as all that walk_inside.h names.
 *
 * Walks from an interrupted thread's registers to its first function with the compiled tables
 * of a module snapshot, with its mapped unwind information where a module has none (yet), by
 * frame pointer where it has neither, and through code that was made at run time by what that
 * says of itself, or by what the stack above it confirms. Never reads outside the bounds it is
 * given or has verified; never calls libunwind.
 */
#ifndef CPROF_UNWIND_WALK_H
#define CPROF_UNWIND_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cprof/asleep.h"
#include "cprof/runtime.h"
#include "unwind/copied.h"
#include "unwind/modules.h"
#include "unwind/rule_cache.h"

/* Stack memory is what its thread makes of it; sanitizers must let us read all of it. */
#define READS_STACK __attribute__((no_sanitize("address", "thread", "undefined")))

struct native_frame {
    uintptr_t pc;  /* inside the instruction that the frame is in, ready to be looked up: of
                      a return address, the byte before it */
    uintptr_t cfa; /* canonical frame address: the frame occupies [callee's cfa, cfa). Where a
                      signal handler ran on a stack of its own, the two may be far apart in
                      either direction. A frame whose caller could not be found is empty. */
};

/* Readable stack memory around the stack pointer: [low, high) has been seen to be readable,
 * and more may be found up to `reach` while walking. A thread keeps its bounds between
 * samples, zero-initialised. On a thread's own stack high is reach, and they are good for as
 * long as the stack pointer stays in them; other stacks (fibers, alternate signal stacks) can
 * vanish, and are looked at anew in every sample.
 *
 * Another thread's stack is never touched: nothing of it counts as seen (high is 0), and all is
 * read through copies. */
struct stack_bounds {
    uintptr_t low, high, reach;
    struct copied *copied; /* NULL: the calling thread's, read where it lies */
};

/* [handler] Makes the bounds fit the stack pointer of the calling thread: nothing to do when
 * it lies in them, else a system call (some 100 ns) for every page that was not seen before.
 * False when sp points to no readable memory. */
bool walk_bounds(struct stack_bounds *bounds, uintptr_t sp);

enum walk_end {
    WALK_COMPLETE,  /* reached the thread's first function, whose cfa is the last one known */
    WALK_FULL,      /* more than `capacity` frames */
    WALK_NO_MODULE, /* a pc that no module of the snapshot covers (new code:
                       modules_miss(), refresh soon) */
    WALK_NO_RULE,   /* no unwind information or more than rules can express, and no frame
                       pointer */
    WALK_BAD_STACK, /* a frame address that is out of bounds or does not ascend */
};

/* What a thread's walks work with. Zero-initialised; not for the stack of a handler. */
struct walk_memory {
    struct rule_cache cache;
    struct mapped_scratch scratch;
};

/* Where a walk writes, and the thread's memory that it works with. */
struct walk_room {
    struct native_frame *native;
    size_t native_capacity;
    struct cprof_frame *stepped; /* for the frames of runtime->step() */
    size_t stepped_capacity;
    struct stack_bounds *bounds; /* fitting the interrupted stack pointer */
    struct walk_memory *memory;
};

struct walk_result {
    size_t native_count;
    size_t stepped_count; /* frames written by `step` */
    enum walk_end end;
    bool missed; /* a pc that no module covers was met */
    bool beyond; /* it ended at a frame whose unwind information says more than rules express */
};

/* [handler] `runtime` may be NULL, as its `step` may be (see runtime.h); stepped frames have
 * their stack field set to lie inside the native_frame that is recorded for them. */
struct walk_result walk_frames(const struct module_map *map,
                               const struct cprof_interrupted *thread,
                               const struct cprof_runtime *runtime,
                               const struct walk_room *room);

/* [handler] The registers of a ucontext_t. */
struct cprof_registers walk_registers(const void *ucontext);

/* step() of struct cprof_asleep. */
typedef bool walk_step_asleep(const struct cprof_sleeper *sleeper,
                              struct cprof_registers *registers, struct cprof_frame *frame);

/* Walks another thread that sleeps, from the pc and the stack pointer at which it does; nothing
 * is known of its other registers. The frames are the same as the thread's own handler
 * would find: where a frame can be found by its frame pointer alone, that is searched for on
 * the stack. What is found is of a sleeping thread if the thread has not run meanwhile, which
 * the caller proves; else it may be anything. `room` needs no bounds, and the copies have
 * begun. The frames of a runtime that are native ones are left by its `step`; NULL: it has
 * none. */
struct walk_result walk_asleep(const struct module_map *map,
                               const struct cprof_sleeper *sleeper, walk_step_asleep *step,
                               const struct walk_room *room, struct copied *copied);

#endif
