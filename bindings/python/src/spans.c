#include "spans.h"

#include <string.h>

#include "share.h"

PyObject *spans_variable, *spans_theirs;

/* The key of the span in a context, and the class of what names a span; NULL until
 * opentelemetry.trace is loaded. */
static PyObject *span_key, *span_context_type;
/* Called with spans that become active; NULL: nobody wants to know. */
static PyObject *root_callback;

static PyObject *name_get_span_context, *name_context, *name_attach, *name_detach,
    *name_get_current;

/* A span's own code runs while its ids are asked for: what that attaches is not followed. */
static _Thread_local bool asking;

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

static bool is_state(const PyObject *object)
{
    return object != NULL && Py_TYPE(object) == &span_state_type;
}

/* ---- a span's ids ---- */

/* An exception of the span's code is the span's fault. One that is for the program as a whole
 * (KeyboardInterrupt) is left for it: -1. */
static int forgive(void)
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
    if (forgive() < 0)
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
        if (!PyErr_Occurred() || forgive() == 0)
            parts[part] = part_of(context, part);
    if (!PyErr_Occurred() || forgive() == 0)
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

/* The span in their context; NULL: none. Borrowed. */
static PyObject *span_of(PyObject *context)
{
    PyObject *span;

    if (span_key == NULL)
        find_key();
    if (span_key == NULL || !PyDict_Check(context))
        return NULL;
    span = PyDict_GetItemWithError(context, span_key);
    return span == Py_None ? NULL : span;
}

/* ---- following ---- */

/* What stands before the methods of one runtime context. */
struct hook {
    PyObject_HEAD PyObject *attach, *detach, *get_current; /* the originals, bound */
    PyObject *variable; /* where it keeps its contexts; NULL: only it knows */
    bool plain;         /* attach() and detach() only set and reset that variable */
};

static int hook_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct hook *hook = (struct hook *)self;

    Py_VISIT(hook->attach);
    Py_VISIT(hook->detach);
    Py_VISIT(hook->get_current);
    Py_VISIT(hook->variable);
    return 0;
}

static int hook_clear(PyObject *self)
{
    struct hook *hook = (struct hook *)self;

    Py_CLEAR(hook->attach);
    Py_CLEAR(hook->detach);
    Py_CLEAR(hook->get_current);
    Py_CLEAR(hook->variable);
    return 0;
}

static void hook_free(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    hook_clear(self);
    PyObject_GC_Del(self);
}

static PyTypeObject hook_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "cprof._cprof.SpanHook",
    .tp_basicsize = sizeof(struct hook),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_traverse = hook_traverse,
    .tp_clear = hook_clear,
    .tp_dealloc = hook_free,
};

/* The value of ours; a new reference, NULL for none. */
static PyObject *current_state(void)
{
    PyObject *value = NULL;

    if (PyContextVar_Get(spans_variable, NULL, &value) < 0)
        PyErr_Clear();
    if (is_state(value))
        return value;
    Py_XDECREF(value);
    return NULL;
}

const struct span_state *spans_current(void)
{
    PyObject *state = current_state();

    Py_XDECREF(state); /* the running context holds it */
    return (const struct span_state *)state;
}

/* A new reference; NULL, maybe with an exception. */
static PyObject *current_context(const struct hook *hook)
{
    PyObject *context = NULL;

    if (hook->variable == NULL)
        return PyObject_CallNoArgs(hook->get_current);
    PyContextVar_Get(hook->variable, NULL, &context);
    return context;
}

/* A state of the context; `outer` may be NULL. NULL with an exception. */
static PyObject *make_state(PyObject *context, PyObject *span, PyObject *outer)
{
    const unsigned depth = outer != NULL ? ((struct span_state *)outer)->depth + 1 : 0;
    struct span_state *state;
    struct cprof_span ids = {0};
    enum span_kind kind;

    asking = true;
    kind = read_span(span, &ids);
    asking = false;
    if (forgive() < 0)
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

/* 0, or -1 with an exception. */
static int set_state(PyObject *state)
{
    PyObject *token = PyContextVar_Set(spans_variable, state);

    Py_XDECREF(token);
    return token != NULL ? 0 : -1;
}

static int tell_root(PyObject *span)
{
    PyObject *result;

    asking = true;
    result = PyObject_CallOneArg(root_callback, span);
    asking = false;
    Py_XDECREF(result);
    return forgive();
}

/* Makes ours say what `context` says. 0, or -1 with an exception. */
static int update(PyObject *context, PyObject *before, bool attached)
{
    PyObject *outer = is_state(before) ? ((struct span_state *)before)->outer : NULL;
    PyObject *span = span_of(context), *state;
    int result;

    if (span == NULL)
        return before != NULL ? set_state(Py_None) : 0;
    if (outer != NULL && ((struct span_state *)outer)->context == context)
        return set_state(outer);
    if (attached && root_callback != NULL && tell_root(span) < 0)
        return -1;
    state = make_state(context, span, attached ? before : NULL);
    if (state == NULL)
        return -1;
    result = set_state(state);
    Py_DECREF(state);
    return result;
}

/* After attach() or detach(). 0, or -1 with an exception that is for the program. */
static int follow(const struct hook *hook, bool attached)
{
    PyObject *context = current_context(hook);
    int result = context == NULL ? forgive() : 0;
    PyObject *before = current_state();

    if (context != NULL &&
        !(before != NULL && ((struct span_state *)before)->context == context))
        result = update(context, before, attached);
    if (result == 0)
        share_current();
    Py_XDECREF(context);
    Py_XDECREF(before);
    return PyErr_Occurred() ? forgive() : result;
}

/* What the original returns, after having followed what it did. Takes over `result`. */
static PyObject *follow_result(const struct hook *hook, PyObject *result, bool attached)
{
    if (result != NULL && !asking && follow(hook, attached) < 0)
        Py_CLEAR(result);
    return result;
}

static PyObject *hooked_attach(PyObject *self, PyObject *const *arguments, Py_ssize_t count,
                               PyObject *keywords)
{
    const struct hook *hook = (struct hook *)self;
    PyObject *token;

    if (hook->plain && count == 1 && keywords == NULL)
        token = PyContextVar_Set(hook->variable, arguments[0]);
    else
        token = PyObject_Vectorcall(hook->attach, arguments, (size_t)count, keywords);
    return follow_result(hook, token, true);
}

static PyObject *hooked_detach(PyObject *self, PyObject *const *arguments, Py_ssize_t count,
                               PyObject *keywords)
{
    const struct hook *hook = (struct hook *)self;
    PyObject *none;

    if (hook->plain && count == 1 && keywords == NULL)
        none =
            PyContextVar_Reset(hook->variable, arguments[0]) == 0 ? Py_NewRef(Py_None) : NULL;
    else
        none = PyObject_Vectorcall(hook->detach, arguments, (size_t)count, keywords);
    return follow_result(hook, none, false);
}

static PyMethodDef hooked[] = {
    {"attach", (PyCFunction)(void (*)(void))hooked_attach, METH_FASTCALL | METH_KEYWORDS,
     "attach() of the runtime context; cprof then looks which span is active."},
    {"detach", (PyCFunction)(void (*)(void))hooked_detach, METH_FASTCALL | METH_KEYWORDS,
     "detach() of the runtime context; cprof then looks which span is active."},
};

/* ---- hooking ---- */

/* Does the bound method do nothing but self._current_context.<operation>(argument)? Then its
 * code uses these two names and no other. */
static bool only_does(PyObject *method, const char *operation)
{
    PyObject *code = PyMethod_Check(method) && PyFunction_Check(PyMethod_GET_FUNCTION(method))
                         ? PyFunction_GetCode(PyMethod_GET_FUNCTION(method))
                         : NULL;
    PyObject *names = code != NULL ? PyObject_GetAttrString(code, "co_names") : NULL;
    PyObject *expected = Py_BuildValue("(ss)", "_current_context", operation);
    const bool only = names != NULL && expected != NULL &&
                      PyObject_RichCompareBool(names, expected, Py_EQ) == 1 &&
                      ((PyCodeObject *)code)->co_argcount == 2;

    Py_XDECREF(names);
    Py_XDECREF(expected);
    PyErr_Clear();
    return only;
}

static PyObject *make_hook(PyObject *runtime)
{
    struct hook *hook = PyObject_GC_New(struct hook, &hook_type);

    if (hook == NULL)
        return NULL;
    hook->variable = PyObject_GetAttrString(runtime, "_current_context");
    if (hook->variable != NULL && !PyContextVar_CheckExact(hook->variable))
        Py_CLEAR(hook->variable);
    PyErr_Clear();
    hook->attach = PyObject_GetAttr(runtime, name_attach);
    hook->detach = PyObject_GetAttr(runtime, name_detach);
    hook->get_current = PyObject_GetAttr(runtime, name_get_current);
    hook->plain = false;
    PyObject_GC_Track(hook);
    if (hook->attach != NULL && hook->detach != NULL && hook->get_current != NULL) {
        hook->plain = hook->variable != NULL && only_does(hook->attach, "set") &&
                      only_does(hook->detach, "reset");
        return (PyObject *)hook;
    }
    Py_DECREF(hook);
    return NULL;
}

static bool is_hooked(PyObject *attach)
{
    return PyCFunction_CheckExact(attach) &&
           PyCFunction_GET_FUNCTION(attach) == (PyCFunction)(void (*)(void))hooked_attach;
}

/* Puts ours before the methods of this one object. 0, or -1 with an exception. */
static int put_before(PyObject *runtime, PyObject *hook)
{
    PyObject *attach = PyCFunction_New(&hooked[0], hook);
    PyObject *detach = PyCFunction_New(&hooked[1], hook);
    int result = -1;

    if (attach != NULL && detach != NULL &&
        PyObject_SetAttr(runtime, name_attach, attach) == 0) {
        result = PyObject_SetAttr(runtime, name_detach, detach);
        if (result < 0)
            PyObject_SetAttr(runtime, name_attach, ((struct hook *)hook)->attach);
    }
    Py_XDECREF(attach);
    Py_XDECREF(detach);
    return result;
}

/* Follows from the context that is current now. */
static int begin(PyObject *runtime)
{
    PyObject *hook = make_hook(runtime);
    int result = hook != NULL ? put_before(runtime, hook) : -1;

    if (result == 0) {
        Py_XSETREF(spans_theirs, Py_XNewRef(((struct hook *)hook)->variable));
        result = follow((struct hook *)hook, true);
    }
    Py_XDECREF(hook);
    return result;
}

PyObject *spans_follow(PyObject *self, PyObject *arguments)
{
    PyObject *runtime, *callback, *attach, *bound;
    int result = 0;

    (void)self;
    if (!PyArg_ParseTuple(arguments, "OO:follow_spans", &runtime, &callback))
        return NULL;
    Py_XSETREF(root_callback, callback != Py_None ? Py_NewRef(callback) : NULL);
    attach = PyObject_GetAttr(runtime, name_attach);
    if (attach == NULL)
        return NULL;
    if (!is_hooked(attach)) {
        result = begin(runtime);
    } else {
        bound = PyCFunction_GET_SELF(attach);
        result = follow((struct hook *)bound, true);
    }
    Py_DECREF(attach);
    if (result < 0)
        return NULL;
    Py_RETURN_NONE;
}

int spans_init(PyObject *module)
{
    if (PyType_Ready(&span_state_type) < 0 || PyType_Ready(&hook_type) < 0)
        return -1;
    name_get_span_context = PyUnicode_InternFromString("get_span_context");
    name_context = PyUnicode_InternFromString("_context");
    name_attach = PyUnicode_InternFromString("attach");
    name_detach = PyUnicode_InternFromString("detach");
    name_get_current = PyUnicode_InternFromString("get_current");
    spans_variable = PyContextVar_New("cprof.span", Py_None);
    if (name_get_span_context == NULL || name_context == NULL || name_attach == NULL ||
        name_detach == NULL || name_get_current == NULL || spans_variable == NULL)
        return -1;
    return PyModule_AddObject(module, "spans_variable", Py_NewRef(spans_variable));
}
