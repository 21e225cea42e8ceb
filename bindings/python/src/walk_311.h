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
    const _PyCFrame *cframe;

    chain->cframe = youngest_cframe(state, memory);
    cframe = chain->cframe != NULL ? sure(memory, chain->cframe, sizeof *cframe) : NULL;
    if (cframe == NULL)
        return false;
    chain->frame = cframe->current_frame;
    return true;
}

static bool chain_read(struct chain *chain, struct raw_frame *raw, struct readable *memory)
{
    const _PyInterpreterFrame *frame = seen(memory, chain->frame, sizeof *frame);
    const _PyCFrame *cframe = seen(memory, chain->cframe, sizeof *cframe);

    if (frame == NULL || cframe == NULL)
        return false;
    *raw = function_frame(frame);
    if (ends_run(frame)) {
        raw->run_end = (uintptr_t)chain->cframe;
        chain->cframe = cframe->previous;
    }
    return true;
}
