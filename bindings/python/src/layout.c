/* Whether the running interpreter lays out its frames as the headers say that walk.c was
 * compiled against: asked once, at import. */
#include "walk.h"
#include "walk_context.h"

#include <stdio.h>
#include <string.h>

#define PY_SSIZE_T_CLEAN
#define Py_BUILD_CORE 1
#include <Python.h>
#include <internal/pycore_context.h>
#include <internal/pycore_hamt.h>

#ifdef WALK_UNSUPPORTED

bool walk_enable(char *why, size_t size)
{
    snprintf(why, size, "Python %s: " WALK_UNSUPPORTED, PY_VERSION);
    return false;
}

#else

#if PY_VERSION_HEX >= 0x030D0000

#include <internal/pycore_frame.h>
#include <internal/pycore_runtime.h>
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_debug_offsets.h>
#include <internal/pycore_interpframe_structs.h>
#endif

/* From 3.13 on the interpreter describes its own structures, at the start of _PyRuntime. */
static bool layout_is_ours(void)
{
    const struct _Py_DebugOffsets *told = (const void *)&_PyRuntime;
    const struct {
        uint64_t told, ours;
    } fields[] = {
        {told->thread_state.current_frame, offsetof(PyThreadState, current_frame)},
        {told->thread_state.interp, offsetof(PyThreadState, interp)},
        {told->interpreter_frame.previous, offsetof(_PyInterpreterFrame, previous)},
        {told->interpreter_frame.executable, offsetof(_PyInterpreterFrame, f_executable)},
        {told->interpreter_frame.instr_ptr, offsetof(_PyInterpreterFrame, instr_ptr)},
        {told->interpreter_frame.owner, offsetof(_PyInterpreterFrame, owner)},
        {told->code_object.filename, offsetof(PyCodeObject, co_filename)},
        {told->code_object.qualname, offsetof(PyCodeObject, co_qualname)},
        {told->code_object.linetable, offsetof(PyCodeObject, co_linetable)},
        {told->code_object.firstlineno, offsetof(PyCodeObject, co_firstlineno)},
        {told->code_object.co_code_adaptive, offsetof(PyCodeObject, co_code_adaptive)},
    };

    if (memcmp(told->cookie, _Py_Debug_Cookie, sizeof told->cookie) != 0)
        return false;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (fields[i].told != fields[i].ours)
            return false;
    return true;
}

#else

static bool layout_is_ours(void)
{
    return true; /* fixed for all releases of a minor version */
}

#endif

bool walk_enable(char *why, size_t size)
{
    int minor = -1;

    if (sscanf(Py_GetVersion(), "3.%d", &minor) != 1 || minor != PY_MINOR_VERSION ||
        !layout_is_ours()) {
        snprintf(why, size, "Python %.20s lays out its frames differently from %s",
                 Py_GetVersion(), PY_VERSION);
        return false;
    }
    atomic_store(&walk_interpreter, PyInterpreterState_Get());
    return true;
}

#endif

/* A context with more variables than a bitmap node holds has an array node at its root; that
 * of a context with one variable is a bitmap node. */
static PyTypeObject *root_type(int variables)
{
    PyObject *context = PyContext_New();
    PyTypeObject *type = NULL;

    if (context == NULL || PyContext_Enter(context) < 0) {
        Py_XDECREF(context);
        return NULL;
    }
    for (int i = 0; i < variables; i++) {
        PyObject *variable = PyContextVar_New("cprof.probe", NULL);
        PyObject *token = variable != NULL ? PyContextVar_Set(variable, Py_None) : NULL;

        Py_XDECREF(token);
        Py_XDECREF(variable);
    }
    if (((PyContext *)context)->ctx_vars->h_root != NULL)
        type = Py_TYPE(((PyContext *)context)->ctx_vars->h_root);
    if (PyContext_Exit(context) < 0)
        type = NULL;
    Py_DECREF(context);
    return type;
}

bool walk_context_enable(void)
{
    /* 200 of 32 branches' worth: the chance that 16 stay empty is nil. */
    walk_bitmap_type = root_type(1);
    walk_array_type = root_type(200);
    PyErr_Clear();
    return walk_bitmap_type != NULL && walk_array_type != NULL &&
           walk_bitmap_type != walk_array_type;
}
