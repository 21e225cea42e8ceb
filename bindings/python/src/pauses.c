#include "pauses.h"

#include <Python.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

#include "cprof/sample.h"

static PyObject *hook; /* ours in gc.callbacks; NULL: none. Guarded by the GIL */
static atomic_bool listening;

/* ---- gc.collect() ---- */

typedef PyObject *collect(PyObject *self, PyObject *const *arguments, Py_ssize_t count,
                          PyObject *names);

static PyMethodDef *wrapped; /* NULL: it is not */
static collect *original;
static CPROF_THREAD_LOCAL unsigned asked; /* calls of gc.collect() that are under way */

static PyObject *collect_asked(PyObject *self, PyObject *const *arguments, Py_ssize_t count,
                               PyObject *names)
{
    asked++;
    PyObject *result = original(self, arguments, count, names);
    asked--;
    return result;
}

/* One that is called in another way than is known stays as it is. */
static void wrap_collect(PyObject *gc)
{
    PyObject *function = PyObject_GetAttrString(gc, "collect");
    if (function != NULL && PyCFunction_CheckExact(function)) {
        PyMethodDef *method = ((PyCFunctionObject *)function)->m_ml;
        if (method->ml_flags == (METH_FASTCALL | METH_KEYWORDS)) {
            wrapped = method;
            original = (collect *)(void (*)(void))method->ml_meth;
            method->ml_meth = (PyCFunction)(void (*)(void))collect_asked;
        }
    }
    Py_XDECREF(function);
    PyErr_Clear();
}

/* Who has wrapped us meanwhile keeps us. */
static void unwrap_collect(void)
{
    if (wrapped != NULL && wrapped->ml_meth == (PyCFunction)(void (*)(void))collect_asked)
        wrapped->ml_meth = (PyCFunction)(void (*)(void))original;
    wrapped = NULL;
}

/* ---- what the collector calls ---- */

static uint32_t kind_of(PyObject *info)
{
    PyObject *number = PyDict_Check(info) ? PyDict_GetItemString(info, "generation") : NULL;
    long generation = number != NULL ? PyLong_AsLong(number) : -1;
    char text[32];
    PyErr_Clear();
    snprintf(text, sizeof text, "%s/%ld", asked > 0 ? "collect" : "threshold", generation);
    return cprof_kind(text);
}

/* called(phase, info) */
static PyObject *called(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    const struct cprof_registers caller = cprof_caller();
    (void)self;
    if (count != 2 || !PyUnicode_Check(arguments[0]) || !atomic_load(&listening))
        Py_RETURN_NONE;
    if (PyUnicode_CompareWithASCIIString(arguments[0], "start") == 0)
        cprof_gc_begin();
    else
        cprof_gc_end(kind_of(arguments[1]), 1, &caller);
    Py_RETURN_NONE;
}

/* ---- in and out ---- */

static PyObject *callbacks_of(PyObject *gc)
{
    PyObject *list = gc != NULL ? PyObject_GetAttrString(gc, "callbacks") : NULL;
    if (list != NULL && !PyList_Check(list))
        Py_CLEAR(list);
    return list;
}

static bool hook_in(void)
{
    static PyMethodDef method = {"cprof", (PyCFunction)(void (*)(void))called, METH_FASTCALL,
                                 NULL};
    PyObject *gc = PyImport_ImportModule("gc"), *list = callbacks_of(gc);
    hook = list != NULL ? PyCFunction_New(&method, NULL) : NULL;
    if (hook != NULL && PyList_Append(list, hook) < 0)
        Py_CLEAR(hook);
    if (hook != NULL)
        wrap_collect(gc);
    Py_XDECREF(list);
    Py_XDECREF(gc);
    PyErr_Clear();
    return hook != NULL;
}

/* In the child of a fork nobody may have the GIL to give, and the hook is in. */
int pauses_open(const char **why)
{
    bool in = hook != NULL;
    if (!in) {
        PyGILState_STATE held = PyGILState_Ensure();
        in = hook_in();
        PyGILState_Release(held);
    }
    *why = "gc.callbacks does not take our function";
    atomic_store(&listening, in);
    return in ? 0 : -ENOTSUP;
}

void pauses_close(void)
{
    atomic_store(&listening, false);
}

void pauses_forget(void)
{
    if (hook == NULL)
        return;
    unwrap_collect();
    PyObject *gc = PyImport_ImportModule("gc"), *list = callbacks_of(gc);
    for (Py_ssize_t i = list != NULL ? PyList_GET_SIZE(list) : 0; i-- > 0;)
        if (PyList_GET_ITEM(list, i) == hook)
            (void)PyList_SetSlice(list, i, i + 1, NULL);
    Py_XDECREF(list);
    Py_XDECREF(gc);
    PyErr_Clear();
    Py_CLEAR(hook);
}
