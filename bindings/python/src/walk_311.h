/*
 * Handler code. Frames of CPython 3.11: slots of the thread's data stack (a generator's lie
 * inside the generator), chained from the youngest. Each call of the eval loop runs the frames
 * up to one marked is_entry and keeps a _PyCFrame on its native stack.
 */
#include <internal/pycore_frame.h>
#include "datastack.h"

struct chain {
    const _PyInterpreterFrame *frame;
    const _PyCFrame *cframe; /* of the eval call that runs `frame` */
};

/* The eval loop publishes its cframe in the thread state before it sets current_frame, which
 * holds whatever lay on the native stack. The frames count only if they lead to an entry frame
 * that the caller's cframe agrees with. */
static bool run_is_linked(const _PyCFrame *cframe, PyThreadState *state,
                          struct readable *memory)
{
    const _PyInterpreterFrame *frame = cframe->current_frame;

    if (!readable(memory, cframe->previous, sizeof *cframe))
        return false;
    for (int limit = RUN_LIMIT; limit > 0; limit--) {
        if (datastack_popped(state, frame) || !readable(memory, frame, sizeof *frame))
            return false;
        if (frame->is_entry)
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
    *chain = (struct chain){.frame = cframe->current_frame, .cframe = cframe};
    return true;
}

static bool chain_read(struct chain *chain, struct raw_frame *raw, struct readable *memory)
{
    const _PyInterpreterFrame *frame = chain->frame;

    if (!readable(memory, frame, sizeof *frame) ||
        !readable(memory, chain->cframe, sizeof *chain->cframe))
        return false;
    *raw = (struct raw_frame){
        .older = frame->previous,
        .code = (uintptr_t)frame->f_code,
        .offset = (const char *)frame->prev_instr -
                  ((const char *)frame->f_code + offsetof(PyCodeObject, co_code_adaptive)),
        .run_end = frame->is_entry ? (uintptr_t)chain->cframe : 0,
    };
    if (frame->is_entry)
        chain->cframe = chain->cframe->previous;
    return true;
}
