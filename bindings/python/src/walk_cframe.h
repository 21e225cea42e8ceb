/*
 * Handler code. What CPython 3.11 and 3.12 have in common: frames are slots of the thread's
 * data stack (a generator's lie inside the generator), chained from the youngest, and each call
 * of the eval loop keeps a _PyCFrame on its native stack, which leads to the frames that it
 * runs.
 */
#include <internal/pycore_frame.h>

/* How many frames of one eval call are followed to check that they are linked. */
enum { RUN_LIMIT = 4096 };

/* Is this the last frame, seen from the youngest, of one call of the eval loop? By version. */
static bool ends_run(const _PyInterpreterFrame *frame);

/* True when `frame` lies in the free part of the thread's data stack: a leftover pointer to a
 * frame that has been popped. */
static bool is_popped(const PyThreadState *state, const _PyInterpreterFrame *frame)
{
    return (const void *)frame >= (const void *)state->datastack_top &&
           (const void *)frame < (const void *)state->datastack_limit;
}

/* The frames of a cframe count only if they lead to the end of a run that the caller's cframe
 * agrees with. */
static bool run_is_linked(const _PyCFrame *cframe, PyThreadState *state,
                          struct readable *memory)
{
    const _PyInterpreterFrame *frame = cframe->current_frame;

    if (!readable(memory, cframe->previous, sizeof *cframe))
        return false;
    for (int limit = RUN_LIMIT; limit > 0; limit--) {
        if (is_popped(state, frame) || !readable(memory, frame, sizeof *frame))
            return false;
        if (ends_run(frame))
            return frame->previous == cframe->previous->current_frame;
        frame = frame->previous;
    }
    return true; /* nothing stale is that deep */
}

/* The youngest cframe that can be trusted; NULL when there is none. The eval loop publishes
 * its own in the thread state before it sets current_frame, which holds whatever lay on the
 * native stack. */
static const _PyCFrame *youngest_cframe(PyThreadState *state, struct readable *memory)
{
    const _PyCFrame *cframe = state->cframe;

    if (!readable(memory, cframe, sizeof *cframe))
        return NULL;
    if (cframe != &state->root_cframe && !run_is_linked(cframe, state, memory))
        cframe = cframe->previous;
    return readable(memory, cframe, sizeof *cframe) ? cframe : NULL;
}

/* A frame of a Python function. */
static struct raw_frame function_frame(const _PyInterpreterFrame *frame)
{
    const char *first = (const char *)frame->f_code + offsetof(PyCodeObject, co_code_adaptive);

    return (struct raw_frame){.older = frame->previous,
                              .code = (uintptr_t)frame->f_code,
                              .offset = (const char *)frame->prev_instr - first};
}
