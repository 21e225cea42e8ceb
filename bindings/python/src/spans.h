/*
 * The span that OpenTelemetry holds active, where the signal handler can read it.
 *
 * OpenTelemetry keeps its current context, an immutable mapping, in a context variable of its
 * runtime context (opentelemetry.context._RUNTIME_CONTEXT), and the span in that mapping. Both
 * are deep in Python's own objects, the ids being Python ints. So a variable of ours stands
 * beside theirs, holding a small object with the bare ids, the state; span_hooks.h keeps it up
 * to date.
 *
 * A state names the context that it was made of. The handler (walk_context.c) compares it with
 * what their variable holds: one that was changed behind our back gives no link rather than a
 * wrong one. Nothing here raises into the program but KeyboardInterrupt and its kind.
 *
 * All of this needs the GIL.
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

/* Read by the handler. NULL until spans_init(). */
extern PyObject *spans_variable;

/* A span's own code runs while its ids are asked for: what that attaches is not followed. */
extern _Thread_local bool spans_asking;

/* 0, or -1 with an exception. */
int spans_init(PyObject *module);

/* The state of the running context; NULL: none. Borrowed. */
const struct span_state *spans_current(void);

/* The same as a new reference. */
PyObject *spans_state(void);
bool spans_is_state(const PyObject *object);

/* A state of their context, which has that span; `outer` may be NULL. NULL with an exception.
 */
PyObject *spans_make_state(PyObject *context, PyObject *span, PyObject *outer);

/* The span in their context; NULL: none. Borrowed. */
PyObject *spans_of(PyObject *context);

/* An exception of the span's code is the span's fault. One that is for the program as a whole
 * (KeyboardInterrupt) is left for it: -1. */
int spans_forgive(void);

#endif
