/*
 * Frames that the runtime leaves: it knows the code that it made, and the frames of its own.
 * Inside the walker only. Signal-safe.
 */
#ifndef CPROF_UNWIND_STEPPED_H
#define CPROF_UNWIND_STEPPED_H

#include "unwind/lookup.h"

static inline struct cprof_registers stepped_registers(const struct walk *walk)
{
    return (struct cprof_registers){.pc = walk->at.pc, .sp = walk->at.sp, .fp = walk->at.fp};
}

/* To the caller that has these registers. */
bool stepped_leave(struct walk *walk, const struct cprof_registers *registers);

/* Is the frame the runtime's? Then it writes it to `own`. */
static inline bool stepped_frame(struct walk *walk, uintptr_t pc,
                                 struct cprof_registers *registers, struct cprof_frame *own)
{
    const struct cprof_runtime *runtime = walk->runtime;
    if (walk->step_asleep)
        return walk->step_asleep(walk->sleeper, registers, own);
    return runtime->step(walk->thread, registers, own) ||
           (runtime->step_unmapped != NULL && !lookup_is_of_file(lookup_module(walk, pc)) &&
            runtime->step_unmapped(walk->thread, registers, own));
}

/* The same in a trial, which goes on to the caller. */
bool stepped_tried(struct walk *trial);

#endif
