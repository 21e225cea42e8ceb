/*
 * Handler code. Frames of CPython 3.12: as in 3.11 (walk_311.h), but each call of the eval loop
 * ends its run with a shim frame of its own on the native stack, which is no Python function.
 */
#include <internal/pycore_frame.h>
#include "datastack.h"

struct chain {
    const _PyInterpreterFrame *frame;
};

/* The eval loop publishes its cframe in the thread state before it sets current_frame, which
 * holds whatever lay on the native stack. The frames count only if they lead to a shim that
 * the caller's cframe agrees with. */
static bool run_is_linked(const _PyCFrame *cframe, PyThreadState *state,
                          struct readable *memory)
{
    const _PyInterpreterFrame *frame = cframe->current_frame;

    if (!readable(memory, cframe->previous, sizeof *cframe))
        return false;
    for (int limit = RUN_LIMIT; limit > 0; limit--) {
        if (datastack_popped(state, frame) || !readable(memory, frame, sizeof *frame))
            return false;
        if (frame->owner == FRAME_OWNED_BY_CSTACK)
            return frame->previous == cframe->previous->current_frame;
        frame = frame->previous;
    }
    return true; /* nothing stale is that deep */
}

static bool chain_start(struct chain *chain, PyThreadState *state, struct readable *memory)
{
    const _PyCFrame *cframe = state->cframe;

    if (!readable(memory, cframe, sizeof *cframe))
        return false;
    if (cframe != &state->root_cframe && !run_is_linked(cframe, state, memory))
        cframe = cframe->previous;
    if (!readable(memory, cframe, sizeof *cframe))
        return false;
    chain->frame = cframe->current_frame;
    return true;
}

static bool chain_read(struct chain *chain, struct raw_frame *raw, struct readable *memory)
{
    const _PyInterpreterFrame *frame = chain->frame;

    if (!readable(memory, frame, sizeof *frame))
        return false;
    *raw = (struct raw_frame){.older = frame->previous};
    if (frame->owner == FRAME_OWNED_BY_CSTACK) {
        raw->run_end = (uintptr_t)frame;
        return true;
    }
    raw->offset = (const char *)frame->prev_instr -
                  ((const char *)frame->f_code + offsetof(PyCodeObject, co_code_adaptive));
    raw->code = (uintptr_t)frame->f_code;
    return true;
}
