/*
 * Handler code. Frames of CPython 3.11: as walk_cframe.h says; the frame that an eval call
 * began with is marked is_entry.
 */
#include "walk_cframe.h"

struct chain {
    const _PyInterpreterFrame *frame;
    const _PyCFrame *cframe; /* of the eval call that runs `frame` */
};

static bool ends_run(const _PyInterpreterFrame *frame)
{
    return frame->is_entry;
}

static bool chain_start(struct chain *chain, PyThreadState *state, struct readable *memory)
{
    chain->cframe = youngest_cframe(state, memory);
    if (chain->cframe == NULL)
        return false;
    chain->frame = chain->cframe->current_frame;
    return true;
}

static bool chain_read(struct chain *chain, struct raw_frame *raw, struct readable *memory)
{
    const _PyInterpreterFrame *frame = chain->frame;

    if (!readable(memory, frame, sizeof *frame) ||
        !readable(memory, chain->cframe, sizeof *chain->cframe))
        return false;
    *raw = function_frame(frame);
    if (ends_run(frame)) {
        raw->run_end = (uintptr_t)chain->cframe;
        chain->cframe = chain->cframe->previous;
    }
    return true;
}
