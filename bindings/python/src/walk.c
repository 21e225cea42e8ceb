/* Handler code: runs inside the sampling signal's handler. */
#include "walk.h"

#define PY_SSIZE_T_CLEAN
#define Py_BUILD_CORE 1
#include <Python.h>

#include "readable.h"
#include "walk_chain.h"

const void *_Atomic walk_interpreter;
_Atomic uintptr_t walk_root;

#ifdef WALK_UNSUPPORTED

size_t walk_python(const struct cprof_interrupted *thread, struct cprof_frame *frames,
                   size_t capacity, bool *complete)
{
    (void)thread, (void)frames, (void)capacity;
    *complete = true;
    return 0;
}

#else

size_t walk_python(const struct cprof_interrupted *thread, struct cprof_frame *frames,
                   size_t capacity, bool *complete)
{
    PyThreadState *state = PyGILState_GetThisThreadState();
    struct readable memory = {0};

    (void)thread;
    *complete = true;
    if (state == NULL ||
        state->interp != atomic_load_explicit(&walk_interpreter, memory_order_relaxed))
        return 0;
    return walk_chain(state, &memory, frames, capacity, complete);
}

#endif
