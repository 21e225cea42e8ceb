/* Handler code: runs inside the sampling signal's handler. */
#include "walk_context.h"

#include <string.h>

#define PY_SSIZE_T_CLEAN
#define Py_BUILD_CORE 1
#include <Python.h>
#include "readable.h"
#include "walk.h"

const PyTypeObject *walk_bitmap_type, *walk_array_type;

#include "context_read.h"

bool walk_context(const struct cprof_interrupted *thread, struct cprof_context *context)
{
    const PyThreadState *state = PyGILState_GetThisThreadState();

    (void)thread;
    if (state == NULL || labels_variable == NULL || spans_variable == NULL ||
        state->interp != atomic_load_explicit(&walk_interpreter, memory_order_relaxed))
        return false;
    return read_context(state, context, NULL);
}
