#include "threads.h"

#include <stdbool.h>

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "cfunctions.h"
#include "cprof/cprof.h"

/* What a started thread calls first. */
struct entry {
    PyObject_HEAD PyObject *function;
};

/* The name of the threading.Thread whose bootstrap method `function` is; NULL for others. */
static PyObject *thread_name(PyObject *function)
{
    PyObject *name = NULL;

    if (PyMethod_Check(function))
        name = PyObject_GetAttrString(PyMethod_GET_SELF(function), "_name");
    if (name != NULL && !PyUnicode_Check(name))
        Py_CLEAR(name);
    PyErr_Clear();
    return name;
}

/* Before 3.13 the interpreter hands sys.unraisablehook the object that a thread has begun with:
 * that is to be the program's function. Afterwards only its repr, which is the function's. */
static PyObject *report_ours(PyObject *function)
{
#if PY_VERSION_HEX < 0x030D0000
    if (!PyErr_ExceptionMatches(PyExc_SystemExit)) {
        _PyErr_WriteUnraisableMsg("in thread started by", function);
        Py_RETURN_NONE;
    }
#endif
    (void)function;
    return NULL;
}

static PyObject *entry_call(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    PyObject *function = ((struct entry *)self)->function;
    PyObject *name = thread_name(function), *result;

    cprof_thread_enter(PyThread_get_thread_ident(),
                       name != NULL ? PyUnicode_AsUTF8(name) : NULL);
    PyErr_Clear(); /* of a name that has no UTF-8 form */
    Py_XDECREF(name);
    cfunctions_refresh();
    result = PyObject_Call(function, arguments, keywords);
    if (result == NULL)
        result = report_ours(function);
    cprof_thread_leave();
    return result;
}

static PyObject *entry_repr(PyObject *self)
{
    return PyObject_Repr(((struct entry *)self)->function);
}

static void entry_free(PyObject *self)
{
    Py_DECREF(((struct entry *)self)->function);
    PyObject_Free(self);
}

static PyTypeObject entry_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "cprof._cprof.ThreadEntry",
    .tp_basicsize = sizeof(struct entry),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_call = entry_call,
    .tp_repr = entry_repr,
    .tp_dealloc = entry_free,
};

static PyObject *wrap(PyObject *function)
{
    struct entry *entry = PyObject_New(struct entry, &entry_type);

    if (entry != NULL)
        entry->function = Py_NewRef(function);
    return (PyObject *)entry;
}

/* The arguments of a call with the first, a callable, wrapped. What the original would refuse
 * is left as it is, for the original to refuse. */
static PyObject *wrap_first(PyObject *arguments)
{
    const Py_ssize_t count = PyTuple_GET_SIZE(arguments);
    PyObject *wrapped, *entry;

    if (!cprof_is_running() || count == 0 || !PyCallable_Check(PyTuple_GET_ITEM(arguments, 0)))
        return Py_NewRef(arguments);
    wrapped = PyTuple_New(count);
    entry = wrapped != NULL ? wrap(PyTuple_GET_ITEM(arguments, 0)) : NULL;
    if (entry == NULL) {
        Py_XDECREF(wrapped);
        return NULL;
    }
    PyTuple_SET_ITEM(wrapped, 0, entry);
    for (Py_ssize_t i = 1; i < count; i++)
        PyTuple_SET_ITEM(wrapped, i, Py_NewRef(PyTuple_GET_ITEM(arguments, i)));
    return wrapped;
}

static PyObject *start_wrapped(PyObject *original, PyObject *arguments, PyObject *keywords)
{
    PyObject *wrapped = wrap_first(arguments), *result;

    if (wrapped == NULL)
        return NULL;
    result = PyObject_Call(original, wrapped, keywords);
    Py_DECREF(wrapped);
    return result;
}

/* The functions of _thread that start threads: the interpreter's, and ours in their place. */
enum { START_NEW, START_JOINABLE, STARTERS };

static PyObject *originals[STARTERS], *replacements[STARTERS];

static PyObject *start_new(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    (void)self;
    return start_wrapped(originals[START_NEW], arguments, keywords);
}

static PyObject *start_joinable(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    (void)self;
    return start_wrapped(originals[START_JOINABLE], arguments, keywords);
}

static PyMethodDef methods[STARTERS] = {
    [START_NEW] = {"start_new_thread", (PyCFunction)(void (*)(void))start_new,
                   METH_VARARGS | METH_KEYWORDS, NULL},
    [START_JOINABLE] = {"start_joinable_thread", (PyCFunction)(void (*)(void))start_joinable,
                        METH_VARARGS | METH_KEYWORDS, NULL},
};

/* Where they are known by a name. */
static const struct {
    const char *module, *name;
    int starter;
} names[] = {
    {"_thread", "start_new_thread", START_NEW},
    {"_thread", "start_new", START_NEW},
    {"_thread", "start_joinable_thread", START_JOINABLE},
    {"threading", "_start_new_thread", START_NEW},
    {"threading", "_start_joinable_thread", START_JOINABLE},
};

/* Changes every name that holds from[starter] into to[starter]; somebody else's replacement
 * (gevent's) stays. */
static void exchange(PyObject *const from[STARTERS], PyObject *const to[STARTERS])
{
    PyObject *modules = PyImport_GetModuleDict();

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        PyObject *module = PyDict_GetItemString(modules, names[i].module);
        PyObject *now = module != NULL ? PyObject_GetAttrString(module, names[i].name) : NULL;

        if (now != NULL && now == from[names[i].starter])
            PyObject_SetAttrString(module, names[i].name, to[names[i].starter]);
        Py_XDECREF(now);
        PyErr_Clear();
    }
}

/* Named as the original is, so that it pickles as the original does. */
static int make_replacement(PyObject *module, int starter)
{
    PyObject *module_name = PyUnicode_FromString("_thread");

    originals[starter] = PyObject_GetAttrString(module, methods[starter].ml_name);
    if (originals[starter] == NULL)
        PyErr_Clear(); /* joinable threads came with 3.13 */
    else if (module_name != NULL)
        replacements[starter] = PyCFunction_NewEx(&methods[starter], NULL, module_name);
    Py_XDECREF(module_name);
    return originals[starter] != NULL && replacements[starter] == NULL ? -1 : 0;
}

int threads_hook(void)
{
    if (PyType_Ready(&entry_type) < 0)
        return -1;
    if (replacements[START_NEW] == NULL) {
        /* Not by the program's __import__. */
        PyObject *module = PyImport_ImportModuleLevel("_thread", NULL, NULL, NULL, 0);
        int failed = module == NULL || make_replacement(module, START_NEW) < 0 ||
                     make_replacement(module, START_JOINABLE) < 0;
        Py_XDECREF(module);
        if (failed)
            return -1;
    }
    exchange(originals, replacements);
    return 0;
}

void threads_unhook(void)
{
    exchange(replacements, originals);
}
