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
#include "allocs.h"
#include "asleep.h"
#include "awaiters.h"
#include "cfunctions.h"
#include "exceptions.h"
#include "graves.h"
#include "labels.h"
#include "locks.h"
#include "names.h"
#include "pauses.h"
#include "qualnames.h"
#include "roles.h"
#include "share.h"
#include "span_hooks.h"
#include "task_locks.h"
#include "tasks.h"
#include "greenlets.h"
#include "spans.h"
#include "threads.h"
#include "turns.h"
#include "walk.h"
#include "walk_context.h"

static void drained(void)
{
    graves_drained();
    cprof_labels_drained();
    awaiters_drained();
    greenlets_drained();
}

/* What reads the interpreter's structures is added at import, where they are as expected. */
static void fork_lock(void)
{
    graves_lock();
    cprof_labels_lock();
    cfunctions_lock();
    greenlets_fork_lock();
}

static void fork_unlock(void)
{
    greenlets_fork_unlock();
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
    .alloc_open = allocs_open,
    .alloc_close = allocs_close,
    .lock_open = locks_open,
    .lock_close = locks_close,
    .exception_open = exceptions_open,
    .exception_close = exceptions_close,
    .gc_open = pauses_open,
    .gc_close = pauses_close,
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
    turns_learn();
    greenlets_learn();
    return 0;
}

static void close_hooks(void)
{
    exceptions_forget();
    pauses_forget();
    turns_forget();
    task_locks_forget();
    share_close();
    cfunctions_close();
    threads_unhook();
    close_names();
}

/* The hooks are in place before the first sample and stay until after the last. Guarded, as
 * starting and stopping are, by the package's lock. */
static bool hooked;

/* Whoever embeds Python may end the process without its end: uWSGI does, where a worker that
 * serves with threads is recycled. What Python has ended already is not there any more. */
static void end_at_exit(void)
{
    cprof_end(-1);
}

static int hook(void)
{
    if (!hooked && open_hooks() < 0)
        return -1;
    hooked = true;
    cprof_at_exit(end_at_exit);
    return 0;
}

static void unhook_where_ended(void)
{
    if (hooked && !cprof_is_running()) {
        close_hooks();
        hooked = false;
    }
}

/* None for OTEL_SDK_DISABLED; else NULL with the exception. */
static PyObject *refused(int status, const char *error)
{
    if (status == -ECANCELED)
        Py_RETURN_NONE;
    PyErr_SetString(status == -EINVAL ? PyExc_ValueError : PyExc_RuntimeError,
                    error[0] != '\0' ? error : strerror(-status));
    return NULL;
}

/* ---- options ---- */

struct options {
    struct cprof_options given;
    struct pairs headers, labels, resource;
};

static void free_options(struct options *options)
{
    PyMem_Free(options->headers.items);
    PyMem_Free(options->labels.items);
    PyMem_Free(options->resource.items);
}

static int parse_options(PyObject *arguments, struct options *options)
{
    struct cprof_options *given = &options->given;

    *options = (struct options){0};
    if (!PyArg_ParseTuple(arguments, "zzIdzzzO&O&zO&zz", &given->service_name, &given->types,
                          &given->rate, &given->interval, &given->exporter, &given->endpoint,
                          &given->output, pairs_converter, &options->headers, pairs_converter,
                          &options->labels, &given->native, pairs_converter, &options->resource,
                          &given->library_directory, &given->origin))
        return -1;
    given->headers = options->headers.items;
    given->header_count = options->headers.count;
    given->labels = options->labels.items;
    given->label_count = options->labels.count;
    given->resource = options->resource.items;
    given->resource_count = options->resource.count;
    return 0;
}

/* ---- what the package calls ---- */

static PyObject *module_start(PyObject *self, PyObject *arguments)
{
    struct options options;
    char error[512] = "";
    int status;

    (void)self;
    if (parse_options(arguments, &options) < 0)
        return NULL;
    if (hook() < 0) {
        free_options(&options);
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS status = cprof_start(&options.given, &runtime, error, sizeof error);
    Py_END_ALLOW_THREADS free_options(&options);
    unhook_where_ended();
    if (status == -EBUSY) { /* another copy of cprof: no mistake of the caller's */
        cprof_say(error);
        Py_RETURN_NONE;
    }
    return status < 0 ? refused(status, error) : PyBool_FromLong(status != CPROF_JOINED);
}

static PyObject *module_capture_begin(PyObject *self, PyObject *arguments)
{
    struct options options;
    char error[512] = "";
    uint64_t capture = 0;
    int status;

    (void)self;
    if (parse_options(arguments, &options) < 0)
        return NULL;
    if (hook() < 0) {
        free_options(&options);
        return NULL;
    }
    cfunctions_refresh();
    Py_BEGIN_ALLOW_THREADS status =
        cprof_capture_begin(&options.given, &runtime, &capture, error, sizeof error);
    Py_END_ALLOW_THREADS free_options(&options);
    unhook_where_ended();
    if (status == -ECANCELED)
        return Py_BuildValue("OO", Py_None, Py_False);
    if (status < 0)
        return refused(status, error);
    return Py_BuildValue("KO", (unsigned long long)capture,
                         status != CPROF_JOINED ? Py_True : Py_False);
}

static PyObject *module_capture_end(PyObject *self, PyObject *arguments)
{
    unsigned long long capture;
    char error[512] = "";
    double timeout;
    int status;

    (void)self;
    if (!PyArg_ParseTuple(arguments, "Kd", &capture, &timeout))
        return NULL;
    cfunctions_refresh();
    Py_BEGIN_ALLOW_THREADS status = cprof_capture_end(capture, timeout, error, sizeof error);
    Py_END_ALLOW_THREADS unhook_where_ended();
    if (status != 0 && status != -EALREADY)
        cprof_say(error);
    return PyBool_FromLong(status == 0);
}

static PyObject *module_say(PyObject *self, PyObject *line)
{
    const char *text = PyUnicode_AsUTF8(line);

    (void)self;
    if (text == NULL)
        return NULL;
    cprof_say(text);
    Py_RETURN_NONE;
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

static PyObject *end_with(int (*end)(double timeout), PyObject *timeout)
{
    const double seconds = PyFloat_AsDouble(timeout);
    int status;

    if (PyErr_Occurred())
        return NULL;
    Py_BEGIN_ALLOW_THREADS status = end(seconds);
    Py_END_ALLOW_THREADS unhook_where_ended();
    return PyBool_FromLong(status == 0);
}

static PyObject *module_stop(PyObject *self, PyObject *timeout)
{
    (void)self;
    return end_with(cprof_stop, timeout);
}

static PyObject *module_end(PyObject *self, PyObject *timeout)
{
    (void)self;
    return end_with(cprof_end, timeout);
}

static PyObject *module_stop_all(PyObject *self, PyObject *timeout)
{
    (void)self;
    return end_with(cprof_stop_all, timeout);
}

static PyObject *module_control_open(PyObject *self, PyObject *unused)
{
    char error[512] = "";
    int status;

    (void)self, (void)unused;
    Py_BEGIN_ALLOW_THREADS status = cprof_control_open("python", error, sizeof error);
    Py_END_ALLOW_THREADS if (status == 0 ||
                             status == -EALREADY) return PyBool_FromLong(status == 0);
    return refused(status, error);
}

static PyObject *module_control_take(PyObject *self, PyObject *unused)
{
    static const char *const kinds[] = {[CPROF_ORDER_START] = "start",
                                        [CPROF_ORDER_STOP] = "stop",
                                        [CPROF_ORDER_RELEASE] = "release",
                                        [CPROF_ORDER_COLLECT] = "collect"};
    struct cprof_order order;
    bool taken;

    (void)self, (void)unused;
    Py_BEGIN_ALLOW_THREADS taken = cprof_control_take(&order);
    Py_END_ALLOW_THREADS if (!taken) Py_RETURN_NONE;
    return Py_BuildValue("s{szszszszsI}", kinds[order.kind], "origin", order.options.origin,
                         "types", order.options.types, "exporter", order.options.exporter,
                         "output", order.options.output, "rate", order.options.rate);
}

static PyObject *module_control_done(PyObject *self, PyObject *why)
{
    const char *text = why != Py_None ? PyUnicode_AsUTF8(why) : NULL;

    (void)self;
    if (why != Py_None && text == NULL)
        return NULL;
    cprof_control_done(text != NULL ? -EINVAL : 0, text);
    Py_RETURN_NONE;
}

/* Its page: bytes. RuntimeError where nothing runs. */
static PyObject *module_dump(PyObject *self, PyObject *format)
{
    const char *name = PyUnicode_AsUTF8(format);
    char error[512] = "", *page = NULL;
    size_t size = 0;
    PyObject *result;
    int status;

    (void)self;
    if (name == NULL)
        return NULL;
    cfunctions_refresh();
    tasks_learn();
    greenlets_learn();
    Py_BEGIN_ALLOW_THREADS status = cprof_dump(name, &page, &size, error, sizeof error);
    Py_END_ALLOW_THREADS if (status !=
                             0) return refused(status == -ECANCELED ? -EAGAIN : status, error);
    result = PyBytes_FromStringAndSize(page, (Py_ssize_t)size);
    free(page);
    return result;
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
#define ADD(field, kind)                                                                       \
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

static PyObject *profile_id_text(bool (*read)(uint8_t id[16]))
{
    uint8_t id[16];
    char text[2 * sizeof id + 1];

    if (!read(id))
        Py_RETURN_NONE;
    for (size_t i = 0; i < sizeof id; i++)
        snprintf(text + 2 * i, 3, "%02x", id[i]);
    return PyUnicode_FromString(text);
}

static PyObject *module_span_profile_id(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    return profile_id_text(cprof_span_profile_id);
}

static PyObject *module_profile_id(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    return profile_id_text(cprof_profile_id);
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
    locks_child();
    cprof_fork_child();
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"start", module_start, METH_VARARGS,
     "True; False where it joins what runs; None when OTEL_SDK_DISABLED says no. ValueError "
     "for a "
     "value that makes no sense."},
    {"capture_begin", module_capture_begin, METH_VARARGS,
     "The profile of a block: its number, and what start() returns."},
    {"capture_end", module_capture_end, METH_VARARGS, "True when its file has been written."},
    {"say", module_say, METH_O, "A line of cprof's on standard error."},
    {"flush", module_flush, METH_O, "True when everything has been delivered."},
    {"stop", module_stop, METH_O,
     "Gives a start back; True when everything has been delivered."},
    {"end", module_end, METH_O, "Stops, however often it was started."},
    {"stop_all", module_stop_all, METH_O,
     "Stops, however often it was started; True when everything has been delivered."},
    {"control_open", module_control_open, METH_NOARGS,
     "From now on the process can be asked; False where it can be already."},
    {"control_take", module_control_take, METH_NOARGS,
     "What is asked for, and start()'s parameters for it; None: nothing."},
    {"control_done", module_control_done, METH_O,
     "It has been done: None, or why it could not be."},
    {"dump", module_dump, METH_O, "All threads now, as bytes, in the format of that name."},
    {"is_running", module_is_running, METH_NOARGS, NULL},
    {"output", module_output, METH_NOARGS,
     "The pattern of the file that this process writes, or None."},
    {"stats", module_stats, METH_NOARGS, NULL},
    {"describe_thread", module_describe_thread, METH_VARARGS,
     "Tells the name and identity of a running thread by its native id."},
    {"hide_below", module_hide_below, METH_O,
     "Frames of this code object, and all older ones, are not shown from now on."},
    {"follow_spans", span_hooks_follow, METH_VARARGS,
     "Follows the span that an OpenTelemetry runtime context holds active; the second argument "
     "is None, or is called with each span that becomes active."},
    {"profile_id", module_profile_id, METH_NOARGS,
     "The running interval's profile_id in hex; None where nothing runs."},
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
        const bool contexts = walk_context_enable();

        runtime.walk = walk_python;
        if (contexts)
            runtime.context = walk_context;
        runtime.asleep = asleep_enable(contexts);
    } else {
        /* No frame of Python stands for the eval loop's, so that is shown as it is. */
        runtime.role = NULL;
        no_walk = why;
    }
    /* None, or why this interpreter's frames can't be shown. */
    if (labels_init(self) < 0 || spans_init(self) < 0 || span_hooks_init() < 0 ||
        qualnames_init() < 0 ||
        PyModule_AddObject(self, "no_walk", Py_BuildValue("z", no_walk)) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}
