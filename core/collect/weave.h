/*
 * Weaving: one stack out of a native and an interpreted one. A pure function; the collector
 * calls it for every sample.
 *
 * An interpreter frame that names a stack address belongs to the native frame that holds that
 * address, and stands in its place: the native frame is the interpreter's loop running it.
 * Frames marked CPROF_STACK_INHERIT go with the next older frame that names an address, unless
 * they are implemented by a native function that lies between that one and the next younger:
 * such a frame stands as that function's caller (a C method that another C method has called).
 * Where the function does not show, having ended in a jump to another, what plumbing has called
 * is taken for it. Those up to a CPROF_STACK_BOUNDARY replace the next native frame that is an
 * interpreter loop by its role. Native frames that are plumbing, or an interpreter loop that no
 * frame claims (it has just been entered), are not shown.
 *
 * No interpreter frame is ever lost and their order never changes: one whose address lies in
 * no native frame goes right before the next older one that could be placed, or to the root
 * (the native walk was cut short, or native frames are off).
 */
#ifndef CPROF_COLLECT_WEAVE_H
#define CPROF_COLLECT_WEAVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cprof/runtime.h"
#include "unwind/walk.h"

struct weave {
    const struct native_frame *native; /* innermost first, both */
    const enum cprof_role *roles;      /* of the native frames */
    size_t native_count;
    uintptr_t sp; /* where native[0] begins */
    const struct cprof_frame *frames;
    size_t frame_count;
    /* Where the function of each native frame begins, and the one that implements each
     * interpreter frame; 0 = not known. NULL, both: of none. */
    const uintptr_t *native_starts, *frame_starts;
};

struct woven {
    bool interpreted; /* an index into `frames`, else into `native` */
    uint16_t index;
};

/* Writes the woven stack, innermost first, to `out`, which has room for native_count +
 * frame_count entries. `scratch` has room for frame_count. Returns how many were written. */
size_t weave(const struct weave *input, uint16_t *scratch, struct woven *out);

/* Whether a native frame of that role is ever shown. */
bool weave_shows(enum cprof_role role);

#endif
