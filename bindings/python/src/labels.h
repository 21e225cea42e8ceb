/*
 * Labels that a program puts on what it does: cprof.labels(endpoint="/users").
 *
 * They travel in a context variable, so that asyncio tasks, and whatever else runs code in
 * contexts, switch them by themselves. Its value is a LabelSet, a small object of this file
 * that holds the number of a set of the core's table (cprof/labels.h) and lets go of it when it
 * dies. The handler reads the variable of the interrupted thread (walk_context.c) and stores
 * the number.
 *
 * A text that has no UTF-8 form is shown as far as it has one, with "?" for the rest and for
 * NUL.
 */
#ifndef CPROF_PYTHON_LABELS_H
#define CPROF_PYTHON_LABELS_H

#include <stdint.h>

#define PY_SSIZE_T_CLEAN
#include <Python.h>

struct label_set {
    PyObject_HEAD PyObject *pairs; /* tuple of 2-tuples of str, as given */
    uint32_t number;
    uint8_t *attributes; /* as cprof_context_encode() made them */
    size_t attributes_size;
};

extern PyTypeObject label_set_type;

/* The context variable; NULL until labels_init(). Read by the handler. */
extern PyObject *labels_variable;

/* [GIL] The set of the running context; NULL: none. Borrowed. */
const struct label_set *labels_current(void);

/* [GIL] Adds LabelSet and labels_variable to the module. 0, or -1 with an exception. */
int labels_init(PyObject *module);

#endif
