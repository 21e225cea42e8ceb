/*
 * Handler code. Frames of CPython 3.13 to 3.15: slots of the thread's data stack (a generator's
 * lie inside the generator), chained from the thread state's current_frame. Each call of the
 * eval loop ends its run with a shim frame of its own on the native stack, which is no Python
 * function. A frame is linked only after it has been filled in.
 */
#include <internal/pycore_frame.h>
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_interpframe_structs.h>
#endif

struct chain {
    const _PyInterpreterFrame *frame;
};

static bool chain_start(struct chain *chain, PyThreadState *state, struct readable *memory)
{
    const PyThreadState *own = sure(memory, state, sizeof *own);

    if (own == NULL)
        return false;
    chain->frame = own->current_frame;
    return true;
}

/* References held by frames are tagged in their lowest bits from 3.14 on. */
#if PY_VERSION_HEX >= 0x030E0000
#define REFERENT(reference) ((uintptr_t)(reference).bits & ~(uintptr_t)7)
#else
#define REFERENT(reference) ((uintptr_t)(reference))
#endif

static bool chain_read(struct chain *chain, struct raw_frame *raw, struct readable *memory)
{
    const _PyInterpreterFrame *frame = seen(memory, chain->frame, sizeof *frame);
    uintptr_t code;

    if (frame == NULL)
        return false;
    *raw = (struct raw_frame){.older = frame->previous};
    if (frame->owner > FRAME_OWNED_BY_FRAME_OBJECT) {
        raw->run_end = (uintptr_t)chain->frame;
        return true;
    }
    /* What cleans up after an inlined __init__ is a frame without a function. */
    if (REFERENT(frame->f_funcobj) == (uintptr_t)Py_None)
        return true;
    code = REFERENT(frame->f_executable);
    raw->code = code;
    raw->offset = (int64_t)((uintptr_t)frame->instr_ptr - code -
                            offsetof(PyCodeObject, co_code_adaptive));
    return true;
}
