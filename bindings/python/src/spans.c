#include "spans.h"

#include <string.h>

PyObject *spans_variable;

/* The key of the span in a context, and the class of what names a span; NULL until
 * opentelemetry.trace is loaded. */
static PyObject *span_key, *span_context_type;

static PyObject *name_get_span_context, *name_context;

_Thread_local bool spans_asking;

/* ---- the state ---- */

static int state_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((struct span_state *)self)->context);
    Py_VISIT(((struct span_state *)self)->outer);
    return 0;
}

static void state_free(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    Py_XDECREF(((struct span_state *)self)->context);
    Py_XDECREF(((struct span_state *)self)->outer);
    PyObject_GC_Del(self);
}

PyTypeObject span_state_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "cprof._cprof.SpanState",
    .tp_basicsize = sizeof(struct span_state),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_traverse = state_traverse,
    .tp_dealloc = state_free,
};

bool spans_is_state(const PyObject *object)
{
    return object != NULL && Py_TYPE(object) == &span_state_type;
}

/* ---- a span's ids ---- */

int spans_forgive(void)
{
    if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception))
        return -1;
    PyErr_Clear();
    return 0;
}

/* A positive int of at most `size` bytes, big-endian as in W3C Trace Context. */
static bool put_id(PyObject *value, uint8_t *bytes, size_t size)
{
    if (value == NULL || !PyLong_Check(value))
        return false;
#if PY_VERSION_HEX >= 0x030D0000
    const Py_ssize_t needed =
        PyLong_AsNativeBytes(value, bytes, (Py_ssize_t)size,
                             Py_ASNATIVEBYTES_BIG_ENDIAN | Py_ASNATIVEBYTES_UNSIGNED_BUFFER |
                                 Py_ASNATIVEBYTES_REJECT_NEGATIVE);
    return needed >= 0 && (size_t)needed <= size;
#else
    return _PyLong_AsByteArray((PyLongObject *)value, bytes, size, 0, 0) == 0;
#endif
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
    uint8_t any = 0;

    for (size_t i = 0; i < size; i++)
        any |= bytes[i];
    return any == 0;
}

/* The parts of a SpanContext, by their places in the tuple that it is. */
enum { TRACE_ID, SPAN_ID, IS_REMOTE, FLAGS, PARTS };

/* A new reference; NULL with or without an exception. */
static PyObject *part_of(PyObject *context, int part)
{
    static const char *const names[PARTS] = {"trace_id", "span_id", "is_remote", "trace_flags"};

    if (PyTuple_Check(context) && PyTuple_GET_SIZE(context) >= PARTS)
        return Py_NewRef(PyTuple_GET_ITEM(context, part));
    return PyObject_GetAttrString(context, names[part]);
}

static enum span_kind read_parts(PyObject *const parts[PARTS], struct cprof_span *ids)
{
    uint8_t flags = 0;

    if (parts[IS_REMOTE] == Py_True)
        return SPAN_NONE; /* a caller's span, in another process: ours is yet to begin */
    if (!put_id(parts[TRACE_ID], ids->trace_id, sizeof ids->trace_id) ||
        !put_id(parts[SPAN_ID], ids->span_id, sizeof ids->span_id))
        return SPAN_UNREADABLE;
    if (put_id(parts[FLAGS], &flags, sizeof flags))
        ids->flags = flags;
    if (is_zero(ids->trace_id, sizeof ids->trace_id) ||
        is_zero(ids->span_id, sizeof ids->span_id))
        return SPAN_NONE; /* the invalid span, which stands for none */
    return SPAN_KNOWN;
}

/* What get_span_context() returns; a new reference, or NULL with an exception. The spans of
 * OpenTelemetry's own packages have it as an attribute, which takes a third of the time. */
static PyObject *context_of_span(PyObject *span)
{
    PyObject *context = PyObject_GetAttr(span, name_context);

    if (context != NULL && (PyObject *)Py_TYPE(context) == span_context_type)
        return context;
    Py_XDECREF(context);
    if (spans_forgive() < 0)
        return NULL;
    return PyObject_CallMethodNoArgs(span, name_get_span_context);
}

static enum span_kind read_span(PyObject *span, struct cprof_span *ids)
{
    PyObject *context = context_of_span(span);
    PyObject *parts[PARTS] = {NULL};
    enum span_kind kind = SPAN_UNREADABLE;

    if (context == NULL)
        return kind;
    for (int part = 0; part < PARTS; part++)
        if (!PyErr_Occurred() || spans_forgive() == 0)
            parts[part] = part_of(context, part);
    if (!PyErr_Occurred() || spans_forgive() == 0)
        kind = read_parts(parts, ids);
    for (int part = 0; part < PARTS; part++)
        Py_XDECREF(parts[part]);
    Py_DECREF(context);
    return kind;
}

static void find_key(void)
{
    PyObject *modules = PyImport_GetModuleDict();
    PyObject *module = PyDict_GetItemString(modules, "opentelemetry.trace.propagation");

    if (module == NULL)
        return;
    span_key = PyObject_GetAttrString(module, "_SPAN_KEY");
    if (span_key == NULL) { /* as the first releases called it */
        PyErr_Clear();
        span_key = PyObject_GetAttrString(module, "SPAN_KEY");
    }
    module = PyDict_GetItemString(modules, "opentelemetry.trace.span");
    Py_XSETREF(span_context_type,
               module != NULL ? PyObject_GetAttrString(module, "SpanContext") : NULL);
    PyErr_Clear();
}

PyObject *spans_of(PyObject *context)
{
    PyObject *span;

    if (span_key == NULL)
        find_key();
    if (span_key == NULL || !PyDict_Check(context))
        return NULL;
    span = PyDict_GetItemWithError(context, span_key);
    return span == Py_None ? NULL : span;
}

/* ---- what the running context says ---- */

PyObject *spans_state(void)
{
    PyObject *value = NULL;

    if (PyContextVar_Get(spans_variable, NULL, &value) < 0)
        PyErr_Clear();
    if (spans_is_state(value))
        return value;
    Py_XDECREF(value);
    return NULL;
}

const struct span_state *spans_current(void)
{
    PyObject *state = spans_state();

    Py_XDECREF(state); /* the running context holds it */
    return (const struct span_state *)state;
}

PyObject *spans_make_state(PyObject *context, PyObject *span, PyObject *outer)
{
    const unsigned depth = outer != NULL ? ((struct span_state *)outer)->depth + 1 : 0;
    struct span_state *state;
    struct cprof_span ids = {0};
    enum span_kind kind;

    spans_asking = true;
    kind = read_span(span, &ids);
    spans_asking = false;
    if (spans_forgive() < 0)
        return NULL;
    state = PyObject_GC_New(struct span_state, &span_state_type);
    if (state == NULL)
        return NULL;
    /* Contexts that are attached and never detached must not all be kept. */
    state->outer = depth < SPAN_DEPTH ? Py_XNewRef(outer) : NULL;
    state->depth = depth < SPAN_DEPTH ? depth : 0;
    state->context = Py_NewRef(context);
    state->kind = kind;
    state->ids = ids;
    PyObject_GC_Track(state);
    return (PyObject *)state;
}

int spans_init(PyObject *module)
{
    if (PyType_Ready(&span_state_type) < 0)
        return -1;
    name_get_span_context = PyUnicode_InternFromString("get_span_context");
    name_context = PyUnicode_InternFromString("_context");
    spans_variable = PyContextVar_New("cprof.span", Py_None);
    if (name_get_span_context == NULL || name_context == NULL || spans_variable == NULL)
        return -1;
    return PyModule_AddObject(module, "spans_variable", Py_NewRef(spans_variable));
}
