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

/* The free part of the thread's data stack: a pointer into it is a leftover one, to a frame
 * that has been popped. */
struct free_part {
    const void *from, *to;
};

static bool is_popped(struct free_part free, const void *frame)
{
    return frame >= free.from && frame < free.to;
}

/* The frames of a cframe count only if they lead to the end of a run that the caller's cframe
 * agrees with. */
static bool run_is_linked(_PyCFrame cframe, struct free_part free, struct readable *memory)
{
    const _PyInterpreterFrame *at = cframe.current_frame, *callers;
    const _PyCFrame *previous = seen(memory, cframe.previous, sizeof *previous);

    if (previous == NULL)
        return false;
    callers = previous->current_frame;
    for (int limit = RUN_LIMIT; limit > 0; limit--) {
        const _PyInterpreterFrame *frame =
            is_popped(free, at) ? NULL : seen(memory, at, sizeof *frame);
        if (frame == NULL)
            return false;
        if (ends_run(frame))
            return frame->previous == callers;
        at = frame->previous;
    }
    return true; /* nothing stale is that deep */
}

/* The youngest cframe that can be trusted; NULL when there is none. The eval loop publishes
 * its own in the thread state before it sets current_frame, which holds whatever lay on the
 * native stack. */
static const _PyCFrame *youngest_cframe(const PyThreadState *state, struct readable *memory)
{
    const PyThreadState *own = sure(memory, state, sizeof *own);
    const _PyCFrame *at = own != NULL ? own->cframe : NULL, *cframe;
    struct free_part free = {0};

    if (own != NULL)
        free = (struct free_part){.from = own->datastack_top, .to = own->datastack_limit};
    cframe = seen(memory, at, sizeof *cframe);
    if (cframe == NULL)
        return NULL;
    if (at != &state->root_cframe) {
        const _PyCFrame youngest = *cframe;
        if (!run_is_linked(youngest, free, memory))
            at = youngest.previous;
    }
    return seen(memory, at, sizeof *at) != NULL ? at : NULL;
}

/* A frame of a Python function. */
static struct raw_frame function_frame(const _PyInterpreterFrame *frame)
{
    const char *first = (const char *)frame->f_code + offsetof(PyCodeObject, co_code_adaptive);

    return (struct raw_frame){.older = frame->previous,
                              .code = (uintptr_t)frame->f_code,
                              .offset = (const char *)frame->prev_instr - first};
}
