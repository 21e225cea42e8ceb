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
    const PyThreadState *own = sure(memory, state, sizeof *own);
    const PyFrameObject *frame;
    const CFrame *cframe, *root = &state->root_cframe;
    int limit = ALIGN_LIMIT;

    if (own == NULL)
        return false;
    frame = own->frame;
    cframe = own->cframe;
    *chain = (struct chain){.frame = frame, .cframe = cframe};
    for (; frame != NULL && cframe != root && limit > 0; limit--) {
        const PyFrameObject *seen_frame = seen(memory, frame, sizeof *frame);
        const CFrame *seen_cframe = seen(memory, cframe, sizeof *cframe);
        if (seen_frame == NULL || seen_cframe == NULL)
            return false;
        frame = seen_frame->f_back;
        cframe = seen_cframe->previous;
    }
    if (limit == 0)
        return true;
    if (cframe != root) { /* entering: the youngest CFrame's frame is not linked yet */
        const CFrame *youngest = sure(memory, chain->cframe, sizeof *youngest);
        if (youngest == NULL)
            return false;
        chain->cframe = youngest->previous;
    }
    chain->leaving = frame != NULL;
    return true;
}

static bool chain_read(struct chain *chain, struct raw_frame *raw, struct readable *memory)
{
    const PyFrameObject *frame = seen(memory, chain->frame, sizeof *frame);
    const CFrame *cframe = seen(memory, chain->cframe, sizeof *cframe);

    if (frame == NULL || cframe == NULL)
        return false;
    *raw = (struct raw_frame){
        .older = frame->f_back,
        .code = (uintptr_t)frame->f_code,
        .offset = (int64_t)frame->f_lasti * (int64_t)sizeof(_Py_CODEUNIT),
        .run_end = chain->leaving ? CPROF_STACK_BOUNDARY : (uintptr_t)chain->cframe,
    };
    if (!chain->leaving)
        chain->cframe = cframe->previous;
    chain->leaving = false;
    return true;
}
