#include "span_hooks.h"

#include "share.h"
#include "spans.h"

PyObject *spans_theirs;

/* Called with spans that become active; NULL: nobody wants to know. */
static PyObject *root_callback;

static PyObject *name_attach, *name_detach, *name_get_current;

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

/* A new reference; NULL, maybe with an exception. */
static PyObject *current_context(const struct hook *hook)
{
    PyObject *context = NULL;

    if (hook->variable == NULL)
        return PyObject_CallNoArgs(hook->get_current);
    PyContextVar_Get(hook->variable, NULL, &context);
    return context;
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

    spans_asking = true;
    result = PyObject_CallOneArg(root_callback, span);
    spans_asking = false;
    Py_XDECREF(result);
    return spans_forgive();
}

/* Makes ours say what `context` says. 0, or -1 with an exception. */
static int update(PyObject *context, PyObject *before, bool attached)
{
    PyObject *outer = spans_is_state(before) ? ((struct span_state *)before)->outer : NULL;
    PyObject *span = spans_of(context), *state;
    int result;

    if (span == NULL)
        return before != NULL ? set_state(Py_None) : 0;
    if (outer != NULL && ((struct span_state *)outer)->context == context)
        return set_state(outer);
    if (attached && root_callback != NULL && tell_root(span) < 0)
        return -1;
    state = spans_make_state(context, span, attached ? before : NULL);
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
    int result = context == NULL ? spans_forgive() : 0;
    PyObject *before = spans_state();

    if (context != NULL &&
        !(before != NULL && ((struct span_state *)before)->context == context))
        result = update(context, before, attached);
    if (result == 0)
        share_current();
    Py_XDECREF(context);
    Py_XDECREF(before);
    return PyErr_Occurred() ? spans_forgive() : result;
}

/* What the original returns, after having followed what it did. Takes over `result`. */
static PyObject *follow_result(const struct hook *hook, PyObject *result, bool attached)
{
    if (result != NULL && !spans_asking && follow(hook, attached) < 0)
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

PyObject *span_hooks_follow(PyObject *self, PyObject *arguments)
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

int span_hooks_init(void)
{
    if (PyType_Ready(&hook_type) < 0)
        return -1;
    name_attach = PyUnicode_InternFromString("attach");
    name_detach = PyUnicode_InternFromString("detach");
    name_get_current = PyUnicode_InternFromString("get_current");
    return name_attach != NULL && name_detach != NULL && name_get_current != NULL ? 0 : -1;
}
