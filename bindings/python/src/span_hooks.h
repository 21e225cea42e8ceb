/*
 * Follows which span is active: functions of ours stand before attach() and detach() of
 * OpenTelemetry's runtime context, that call the original and bring our variable (spans.h) up
 * to date with what is current then. Tasks, threads' contexts and greenlets switch both alike.
 *
 * Nothing here raises into the program but what its own calls raise, and KeyboardInterrupt and
 * its kind.
 */
#ifndef CPROF_PYTHON_SPAN_HOOKS_H
#define CPROF_PYTHON_SPAN_HOOKS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Read by the handler. Their variable; NULL where spans are not followed, or by a runtime
 * context that keeps its contexts elsewhere. */
extern PyObject *spans_theirs;

/* [GIL] 0, or -1 with an exception. */
int span_hooks_init(void);

/* [GIL] Follows a runtime context, once. `root` is None, or what is called with the span that
 * becomes active by attach(). None, or NULL with an exception. METH_VARARGS */
PyObject *span_hooks_follow(PyObject *self, PyObject *arguments);

#endif
