/*
 * Labels that a program puts on what it does: cprof.labels(endpoint="/users").
 *
 * They travel in a context variable, so that asyncio tasks, and whatever else runs code in
 * contexts, switch them by themselves. Its value is a LabelSet, a small object of this file
 * that carries a number; the handler reads the variable of the interrupted thread
 * (walk_context.c) and stores the number; the collector asks here for the labels behind it.
 *
 * The texts live in a table of LABEL_SETS places, copied, so that the collector needs no GIL.
 * A set keeps its place until it has died and all samples that may name it have been drained.
 * When no place is free, a new set has the number 0 and its samples go without labels.
 */
#ifndef CPROF_PYTHON_LABELS_H
#define CPROF_PYTHON_LABELS_H

#include <stdint.h>

#define PY_SSIZE_T_CLEAN
#include <Python.h>

enum { LABEL_SETS = 4096 };

struct label_set {
    PyObject_HEAD PyObject *pairs; /* tuple of 2-tuples of str, as given */
    uint32_t number;
};

extern PyTypeObject label_set_type;

/* The context variable; NULL until labels_init(). Read by the handler. */
extern PyObject *labels_variable;

/* [GIL] Adds LabelSet and labels_variable to the module. 0, or -1 with an exception. */
int labels_init(PyObject *module);

/* [collector] The labels() entry of struct cprof_runtime, and its part of drained(). */
void labels_of(uint32_t number, void (*each)(void *closure, const char *key, const char *value),
               void *closure);
void labels_drained(void);

/* Held across fork. */
void labels_lock(void);
void labels_unlock(void);

#endif
