#include "exceptions.h"

#include <Python.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

#include "cprof/sample.h"

#if PY_VERSION_HEX < 0x030c0000

int exceptions_open(const char **why)
{
    *why = "before Python 3.12 only a trace function is told of them, which slows all code";
    return -ENOTSUP;
}

void exceptions_close(void)
{
}

void exceptions_forget(void)
{
}

#else

static int tool = -1; /* ours; -1: none. Guarded by the GIL, or the package's lock */
static atomic_bool listening;

/* ---- what is raised ---- */

/* Control flow: the end of an iterator, and of a generator that is closed. */
static bool is_control_flow(const PyTypeObject *type)
{
    const PyObject *object = (const PyObject *)type;
    return object == PyExc_StopIteration || object == PyExc_GeneratorExit ||
           object == PyExc_StopAsyncIteration;
}

static bool is_new(const PyObject *exception)
{
    const PyBaseExceptionObject *base = (const PyBaseExceptionObject *)exception;
    const PyTracebackObject *trace = (const PyTracebackObject *)base->traceback;
    return trace != NULL && PyTraceBack_Check(trace) && trace->tb_next == NULL;
}

/* Its module, without calling what its metaclass may have defined. NULL: none to name. */
static const char *module_of(PyTypeObject *type)
{
    PyObject *dict = PyType_GetDict(type), *module = NULL;
    if (dict != NULL)
        module = PyDict_GetItemString(dict, "__module__");
    const char *name =
        module != NULL && PyUnicode_Check(module) ? PyUnicode_AsUTF8(module) : NULL;
    Py_XDECREF(dict);
    if (name == NULL)
        PyErr_Clear();
    return name == NULL || strcmp(name, "builtins") == 0 ? NULL : name;
}

/* As a traceback spells it: ValueError, json.decoder.JSONDecodeError. */
static uint32_t kind_of(PyTypeObject *type)
{
    char text[128];
    if (!PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE))
        return cprof_kind(type->tp_name);
    const char *name = PyUnicode_AsUTF8(((PyHeapTypeObject *)type)->ht_qualname);
    const char *module = module_of(type);
    if (name == NULL) {
        PyErr_Clear();
        name = type->tp_name;
    }
    snprintf(text, sizeof text, "%s%s%s", module != NULL ? module : "",
             module != NULL ? "." : "", name);
    return cprof_kind(text);
}

__attribute__((noinline)) static void take(PyObject *exception, uint64_t period)
{
    const struct cprof_registers caller = cprof_caller();
    cprof_take_kind(CPROF_EVENT_EXCEPTION, period, 1, kind_of(Py_TYPE(exception)), &caller);
}

/* raised(code, offset, exception) */
static PyObject *raised(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    (void)self;
    if (count != 3 || !atomic_load_explicit(&listening, memory_order_relaxed) ||
        !PyExceptionInstance_Check(arguments[2]))
        Py_RETURN_NONE;
    PyObject *exception = arguments[2];
    if (!is_new(exception) || is_control_flow(Py_TYPE(exception)))
        Py_RETURN_NONE;
    uint64_t period = cprof_due(CPROF_EVENT_EXCEPTION, 1);
    if (period != 0)
        take(exception, period);
    Py_RETURN_NONE;
}

/* ---- in and out ---- */

static PyObject *monitoring(void)
{
    return PySys_GetObject("monitoring"); /* borrowed */
}

/* One that nobody has: those without a name of their own first, and none that a debugger,
 * coverage or cProfile asks for. -1 with the exception where there is none. */
static int take_tool(void)
{
    static const int candidates[] = {4, 3, 5};
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
        PyErr_Clear();
        PyObject *done =
            PyObject_CallMethod(monitoring(), "use_tool_id", "is", candidates[i], "cprof");
        Py_XDECREF(done);
        if (done != NULL)
            return candidates[i];
    }
    return -1;
}

static PyObject *raise_event(void)
{
    PyObject *events = PyObject_GetAttrString(monitoring(), "events"), *event = NULL;
    if (events != NULL)
        event = PyObject_GetAttrString(events, "RAISE");
    Py_XDECREF(events);
    return event;
}

static int listen_with(PyObject *event)
{
    static PyMethodDef method = {"raised", (PyCFunction)(void (*)(void))raised, METH_FASTCALL,
                                 NULL};
    PyObject *function = PyCFunction_New(&method, NULL), *done = NULL;
    if (function != NULL)
        done = PyObject_CallMethod(monitoring(), "register_callback", "iOO", tool, event,
                                   function);
    Py_XDECREF(function);
    if (done == NULL)
        return -1;
    Py_DECREF(done);
    done = PyObject_CallMethod(monitoring(), "set_events", "iO", tool, event);
    Py_XDECREF(done);
    return done != NULL ? 0 : -1;
}

static int hook_in(const char **why)
{
    *why = "sys.monitoring is not there";
    if (monitoring() == NULL)
        return -ENOTSUP;
    *why = "other tools have all slots of sys.monitoring that have no name";
    tool = take_tool();
    if (tool < 0)
        return -EBUSY;
    *why = "sys.monitoring does not take our function";
    PyObject *event = raise_event();
    int status = event != NULL ? listen_with(event) : -1;
    Py_XDECREF(event);
    if (status == 0)
        return 0;
    PyErr_Clear();
    exceptions_forget();
    return -ENOTSUP;
}

/* In the child of a fork nobody may have the GIL to give, and the hook is in. */
int exceptions_open(const char **why)
{
    int status = 0;
    if (tool < 0) {
        PyGILState_STATE held = PyGILState_Ensure();
        status = hook_in(why);
        PyErr_Clear();
        PyGILState_Release(held);
    }
    atomic_store(&listening, status == 0);
    return status;
}

void exceptions_close(void)
{
    atomic_store(&listening, false);
}

void exceptions_forget(void)
{
    if (tool < 0)
        return;
    PyObject *none = NULL, *event = raise_event();
    PyObject *done = PyObject_CallMethod(monitoring(), "set_events", "ii", tool, 0);
    if (done != NULL && event != NULL)
        none =
            PyObject_CallMethod(monitoring(), "register_callback", "iOO", tool, event, Py_None);
    Py_XDECREF(none);
    Py_XDECREF(done);
    Py_XDECREF(event);
    PyErr_Clear();
    done = PyObject_CallMethod(monitoring(), "free_tool_id", "i", tool);
    Py_XDECREF(done);
    PyErr_Clear();
    tool = -1;
}

#endif
