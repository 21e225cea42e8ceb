/*
 * cprof._cprof: the extension behind the Python package. It checks types and passes on; what
 * arguments mean and how they are spelled is the business of cprof/__init__.py.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <stdbool.h>

#include "cprof/context.h"
#include "cprof/cprof.h"
#include "cprof/labels.h"
#include "cprof/runtime.h"
#include "cfunctions.h"
#include "graves.h"
#include "labels.h"
#include "names.h"
#include "qualnames.h"
#include "roles.h"
#include "share.h"
#include "spans.h"
#include "threads.h"
#include "walk.h"
#include "walk_context.h"

static void drained(void)
{
    graves_drained();
    cprof_labels_drained();
}

/* What reads the interpreter's structures is added at import, where they are as expected. */
static void fork_lock(void)
{
    graves_lock();
    cprof_labels_lock();
    cfunctions_lock();
}

static void fork_unlock(void)
{
    cfunctions_unlock();
    cprof_labels_unlock();
    graves_unlock();
}

static struct cprof_runtime runtime = {
    .name = "cpython",
    .resolve = names_resolve,
    .role = roles_of,
    .native_name = cfunctions_name,
    .labels = cprof_labels_of,
    .drained = drained,
    .fork_lock = fork_lock,
    .fork_unlock = fork_unlock,
};

/* Filled once, at import: NULL when frames can be walked, else why not. */
static const char *no_walk;

/* Pairs out of a sequence of 2-tuples of str. The strings stay the tuples'. */
struct pairs {
    struct cprof_pair *items;
    size_t count;
};

static int pairs_converter(PyObject *object, void *address)
{
    struct pairs *pairs = address;
    Py_ssize_t count;

    if (object == NULL) { /* clean up after another argument's failure */
        PyMem_Free(pairs->items);
        return 1;
    }
    if (!PyTuple_Check(object)) {
        PyErr_SetString(PyExc_TypeError, "a tuple of pairs is needed");
        return 0;
    }
    count = PyTuple_GET_SIZE(object);
    pairs->items = PyMem_Calloc((size_t)count + 1, sizeof *pairs->items);
    if (pairs->items == NULL) {
        PyErr_NoMemory();
        return 0;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        struct cprof_pair *pair = &pairs->items[i];
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(object, i), "ss", &pair->key, &pair->value)) {
            PyMem_Free(pairs->items);
            return 0;
        }
    }
    pairs->count = (size_t)count;
    return Py_CLEANUP_SUPPORTED;
}

/* What is needed to name Python frames; nothing where they can't be walked. */
static int open_names(void)
{
    if (no_walk != NULL)
        return 0;
    if (graves_open() < 0)
        return -1;
    if (qualnames_open() < 0) {
        graves_close();
        return -1;
    }
    return 0;
}

static void close_names(void)
{
    if (no_walk != NULL)
        return;
    graves_close();
    qualnames_close();
}

static int open_hooks(void)
{
    if (open_names() < 0)
        return -1;
    if (threads_hook() < 0) {
        close_names();
        return -1;
    }
    cfunctions_open();
    share_open();
    return 0;
}

static void close_hooks(void)
{
    share_close();
    cfunctions_close();
    threads_unhook();
    close_names();
}

/* The hooks are in place before the first sample and stay until after the last. */
static PyObject *start_engine(const struct cprof_options *options)
{
    char error[512] = "";
    int result;

    if (cprof_is_running()) {
        PyErr_SetString(PyExc_RuntimeError, "cprof is running already");
        return NULL;
    }
    if (open_hooks() < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS result = cprof_start(options, &runtime, error, sizeof error);
    Py_END_ALLOW_THREADS if (result == 0) Py_RETURN_TRUE;
    close_hooks();
    if (result == -ECANCELED)
        Py_RETURN_FALSE;
    PyErr_SetString(result == -EINVAL ? PyExc_ValueError : PyExc_RuntimeError,
                    error[0] != '\0' ? error : strerror(-result));
    return NULL;
}

static PyObject *module_start(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"service_name",
                            "types",
                            "rate",
                            "interval",
                            "exporter",
                            "endpoint",
                            "output",
                            "headers",
                            "labels",
                            "native",
                            "resource",
                            "library_directory",
                            NULL};
    struct cprof_options options = {0};
    struct pairs headers = {0}, labels = {0}, resource = {0};
    PyObject *result;

    (void)self;
    if (!PyArg_ParseTupleAndKeywords(
            arguments, keywords, "zzIdzzzO&O&zO&z:start", names, &options.service_name,
            &options.types, &options.rate, &options.interval, &options.exporter,
            &options.endpoint, &options.output, pairs_converter, &headers, pairs_converter,
            &labels, &options.native, pairs_converter, &resource, &options.library_directory))
        return NULL;
    options.headers = headers.items;
    options.header_count = headers.count;
    options.labels = labels.items;
    options.label_count = labels.count;
    options.resource = resource.items;
    options.resource_count = resource.count;
    result = start_engine(&options);
    PyMem_Free(headers.items);
    PyMem_Free(labels.items);
    PyMem_Free(resource.items);
    return result;
}

static PyObject *module_flush(PyObject *self, PyObject *timeout)
{
    const double seconds = PyFloat_AsDouble(timeout);
    int result;

    (void)self;
    if (PyErr_Occurred())
        return NULL;
    cfunctions_refresh();
    Py_BEGIN_ALLOW_THREADS result = cprof_flush(seconds);
    Py_END_ALLOW_THREADS return PyBool_FromLong(result == 0);
}

static PyObject *module_stop(PyObject *self, PyObject *timeout)
{
    const double seconds = PyFloat_AsDouble(timeout);
    int result;

    (void)self;
    if (PyErr_Occurred())
        return NULL;
    Py_BEGIN_ALLOW_THREADS result = cprof_stop(seconds);
    Py_END_ALLOW_THREADS if (result != -ENOENT) close_hooks();
    return PyBool_FromLong(result == 0);
}

static PyObject *module_is_running(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    return PyBool_FromLong(cprof_is_running());
}

static PyObject *module_output(PyObject *self, PyObject *unused)
{
    char pattern[4096];

    (void)self, (void)unused;
    if (cprof_output(pattern, sizeof pattern) != 0)
        Py_RETURN_NONE;
    return PyUnicode_DecodeFSDefault(pattern);
}

static PyObject *module_stats(PyObject *self, PyObject *unused)
{
    struct cprof_stats stats;
    PyObject *result = PyDict_New();

    (void)self, (void)unused;
    if (result == NULL)
        return NULL;
    cprof_stats(&stats);
#define ADD(field)                                                                             \
    {                                                                                          \
        PyObject *value = PyLong_FromUnsignedLongLong(stats.field);                            \
        if (value == NULL || PyDict_SetItemString(result, #field, value) < 0) {                \
            Py_XDECREF(value);                                                                 \
            Py_DECREF(result);                                                                 \
            return NULL;                                                                       \
        }                                                                                      \
        Py_DECREF(value);                                                                      \
    }
    CPROF_STATS_FIELDS(ADD)
#undef ADD
    return result;
}

static PyObject *module_describe_thread(PyObject *self, PyObject *arguments)
{
    int native_id;
    unsigned long identity;
    const char *name;

    (void)self;
    if (!PyArg_ParseTuple(arguments, "iks:describe_thread", &native_id, &identity, &name))
        return NULL;
    cprof_thread_describe(native_id, identity, name);
    Py_RETURN_NONE;
}

static PyObject *module_hide_below(PyObject *self, PyObject *code)
{
    (void)self;
    if (!PyCode_Check(code)) {
        PyErr_SetString(PyExc_TypeError, "a code object is needed");
        return NULL;
    }
    walk_root = (uintptr_t)Py_NewRef(code); /* kept for ever: its address is the mark */
    Py_RETURN_NONE;
}

static PyObject *module_span_profile_id(PyObject *self, PyObject *unused)
{
    uint8_t id[16];
    char text[2 * sizeof id + 1];

    (void)self, (void)unused;
    if (!cprof_span_profile_id(id))
        Py_RETURN_NONE;
    for (size_t i = 0; i < sizeof id; i++)
        snprintf(text + 2 * i, 3, "%02x", id[i]);
    return PyUnicode_FromString(text);
}

static PyObject *module_share_context(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    share_current();
    Py_RETURN_NONE;
}

static PyObject *module_fork_prepare(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    cprof_fork_prepare();
    Py_RETURN_NONE;
}

static PyObject *module_fork_parent(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    cprof_fork_parent();
    Py_RETURN_NONE;
}

static PyObject *module_fork_child(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    cfunctions_child();
    cprof_fork_child();
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"start", (PyCFunction)(void (*)(void))module_start, METH_VARARGS | METH_KEYWORDS,
     "True; False when OTEL_SDK_DISABLED says no. ValueError for a value that makes no sense."},
    {"flush", module_flush, METH_O, "True when everything has been delivered."},
    {"stop", module_stop, METH_O, "True when everything has been delivered."},
    {"is_running", module_is_running, METH_NOARGS, NULL},
    {"output", module_output, METH_NOARGS,
     "The pattern of the file that this process writes, or None."},
    {"stats", module_stats, METH_NOARGS, NULL},
    {"describe_thread", module_describe_thread, METH_VARARGS,
     "Tells the name and identity of a running thread by its native id."},
    {"hide_below", module_hide_below, METH_O,
     "Frames of this code object, and all older ones, are not shown from now on."},
    {"follow_spans", spans_follow, METH_VARARGS,
     "Follows the span that an OpenTelemetry runtime context holds active; the second argument "
     "is None, or is called with each span that becomes active."},
    {"span_profile_id", module_span_profile_id, METH_NOARGS,
     "The running interval's profile_id in hex, for root spans; None where they get none."},
    {"share_context", module_share_context, METH_NOARGS,
     "Tells other processes what is current now."},
    {"fork_prepare", module_fork_prepare, METH_NOARGS, NULL},
    {"fork_parent", module_fork_parent, METH_NOARGS, NULL},
    {"fork_child", module_fork_child, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

/* One interpreter per process: the state behind this module is the process's. */
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "cprof._cprof",
                                    .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC PyInit__cprof(void); /* Python finds it by its name */

PyMODINIT_FUNC PyInit__cprof(void)
{
    static char why[256];
    PyObject *self = PyModule_Create(&module);

    if (self == NULL)
        return NULL;
#ifdef Py_GIL_DISABLED
    PyUnstable_Module_SetGIL(self, Py_MOD_GIL_NOT_USED);
#endif
    if (walk_enable(why, sizeof why)) {
        runtime.walk = walk_python;
        if (walk_context_enable())
            runtime.context = walk_context;
    } else {
        /* No frame of Python stands for the eval loop's, so that is shown as it is. */
        runtime.role = NULL;
        no_walk = why;
    }
    /* None, or why this interpreter's frames can't be shown. */
    if (labels_init(self) < 0 || spans_init(self) < 0 ||
        PyModule_AddObject(self, "no_walk", Py_BuildValue("z", no_walk)) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}
