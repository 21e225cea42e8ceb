/*
 * Handler code. Frames of CPython 3.10: objects on the heap, one per call of the eval loop.
 *
 * Beside the chain of frames runs one of CFrames, which lie on the native stack of their eval
 * call. They pair one to one from the oldest up, but an eval call pushes its CFrame before its
 * frame and pops it first, so at the young end either list can be one longer.
 */
#include <frameobject.h>

struct chain {
    const PyFrameObject *frame;
    const CFrame *cframe; /* of the next frame that has one */
    bool leaving;         /* the youngest frame has lost its CFrame already */
};

/* How far the two lists are counted to align them; when deeper they count as even. */
enum { ALIGN_LIMIT = 8192 };

static bool chain_start(struct chain *chain, PyThreadState *state, struct readable *memory)
{
    const PyFrameObject *frame = state->frame;
    const CFrame *cframe = state->cframe, *root = &state->root_cframe;
    int limit = ALIGN_LIMIT;

    *chain = (struct chain){.frame = state->frame, .cframe = state->cframe};
    for (; frame != NULL && cframe != root && limit > 0; limit--) {
        if (!readable(memory, frame, sizeof *frame) ||
            !readable(memory, cframe, sizeof *cframe))
            return false;
        frame = frame->f_back;
        cframe = cframe->previous;
    }
    if (limit == 0)
        return true;
    if (cframe != root) /* entering: the youngest CFrame's frame is not linked yet */
        chain->cframe = chain->cframe->previous;
    chain->leaving = frame != NULL;
    return true;
}

static bool chain_read(struct chain *chain, struct raw_frame *raw, struct readable *memory)
{
    const PyFrameObject *frame = chain->frame;

    if (!readable(memory, frame, sizeof *frame) ||
        !readable(memory, chain->cframe, sizeof *chain->cframe))
        return false;
    *raw = (struct raw_frame){
        .older = frame->f_back,
        .code = (uintptr_t)frame->f_code,
        .offset = (int64_t)frame->f_lasti * (int64_t)sizeof(_Py_CODEUNIT),
        .run_end = chain->leaving ? CPROF_STACK_BOUNDARY : (uintptr_t)chain->cframe,
    };
    if (!chain->leaving)
        chain->cframe = chain->cframe->previous;
    chain->leaving = false;
    return true;
}
