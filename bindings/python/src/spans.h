/*
 * The span that OpenTelemetry holds active, where the signal handler can read it.
 *
 * OpenTelemetry keeps its current context, an immutable mapping, in a context variable of its
 * runtime context (opentelemetry.context._RUNTIME_CONTEXT), and the span in that mapping. Both
 * are deep in Python's own objects, the ids being Python ints. So a variable of ours stands
 * beside theirs, holding a small object with the bare ids: spans_follow() puts functions of
 * this file before attach() and detach() of the runtime context, that call the original and
 * bring ours up to date with what is current then. Tasks, threads' contexts and greenlets
 * switch both alike.
 *
 * An object of ours names the context that it was made of. The handler (walk_context.c)
 * compares it with what their variable holds: one that was changed behind our back gives no
 * link rather than a wrong one. Nothing here raises into the program but what its own calls
 * raise, and KeyboardInterrupt and its kind.
 */
#ifndef CPROF_PYTHON_SPANS_H
#define CPROF_PYTHON_SPANS_H

#include <stdbool.h>
#include <stdint.h>

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "cprof/context.h"

enum span_kind {
    SPAN_NONE,       /* the context has no span, or one of another process */
    SPAN_KNOWN,      /* `ids` are the span's */
    SPAN_UNREADABLE, /* there is one, which does not say its ids as it should */
};

/* The value of spans_variable; never changed once it is. */
struct span_state {
    PyObject_HEAD PyObject *context; /* theirs */
    PyObject *outer; /* the state before attach(), for detach(); at most SPAN_DEPTH in a row */
    unsigned depth;
    enum span_kind kind;
    struct cprof_span ids;
};

enum { SPAN_DEPTH = 16 };

extern PyTypeObject span_state_type;

/* Read by the handler. Ours; NULL until spans_init(). Theirs; NULL where spans are not
 * followed, or by a runtime context that keeps its contexts elsewhere. */
extern PyObject *spans_variable;
extern PyObject *spans_theirs;

/* [GIL] 0, or -1 with an exception. */
int spans_init(PyObject *module);

/* [GIL] The state of the running context; NULL: none. Borrowed. */
const struct span_state *spans_current(void);

/* [GIL] Follows a runtime context, once. `root` is None, or what is called with the span that
 * becomes active by attach(). None, or NULL with an exception. METH_VARARGS */
PyObject *spans_follow(PyObject *self, PyObject *arguments);

#endif
