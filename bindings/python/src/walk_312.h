/*
 * Handler code. Frames of CPython 3.12: as walk_cframe.h says, but each call of the eval loop
 * ends its run with a shim frame of its own on the native stack, which is no Python function.
 */
#include "walk_cframe.h"

struct chain {
    const _PyInterpreterFrame *frame;
};

static bool ends_run(const _PyInterpreterFrame *frame)
{
    return frame->owner == FRAME_OWNED_BY_CSTACK;
}

static bool chain_start(struct chain *chain, PyThreadState *state, struct readable *memory)
{
    const _PyCFrame *at = youngest_cframe(state, memory);
    const _PyCFrame *cframe = at != NULL ? sure(memory, at, sizeof *cframe) : NULL;

    if (cframe == NULL)
        return false;
    chain->frame = cframe->current_frame;
    return true;
}

static bool chain_read(struct chain *chain, struct raw_frame *raw, struct readable *memory)
{
    const _PyInterpreterFrame *frame = seen(memory, chain->frame, sizeof *frame);

    if (frame == NULL)
        return false;
    *raw = ends_run(frame) ? (struct raw_frame){.older = frame->previous,
                                                .run_end = (uintptr_t)chain->frame}
                           : function_frame(frame);
    return true;
}
