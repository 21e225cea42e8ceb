/*
 * Who awaits the running task of asyncio: the caller of gather(), of a TaskGroup, of `await
 * task`. The stack of a task leads to the event loop; what waits for it is found from the task.
 *
 * From 3.14 on, tasks and futures are linked to it by fut_awaited_by, whose layout asyncio
 * publishes in the section .AsyncioDebug for tools like this (Modules/_asynciomodule.c).
 * Before, a task has a callback for each that waits: task_wakeup of another task; a function of
 * gather(), wait() or shield() that finishes a future, which again somebody waits for; a
 * TaskGroup's method. Where tasks and futures have their callbacks is tried out on a future,
 * and which callbacks these are is taken from asyncio's own functions: other code's tell
 * nothing.
 *
 * That is looked for once, when a handler has met a task (before 3.14, a coroutine). Where it
 * is not as expected, tasks show no awaiters.
 */
#ifndef CPROF_PYTHON_AWAITERS_H
#define CPROF_PYTHON_AWAITERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define PY_SSIZE_T_CLEAN
#include <Python.h>

enum { AWAITERS_CLOSURES = 3 };

/* Offsets of fields of tasks, and of futures but for the coroutine. What is not NULL stays
 * alive for good. */
struct awaiters {
    _Atomic bool known;       /* the rest is, and stays as it is */
    _Atomic bool met;         /* [handler] a task may run, and it was not known */
    uint32_t coroutine, name; /* name: 0 where it is not known */
    uint32_t size;            /* of a future, as far as fields of it are read */
#if PY_VERSION_HEX >= 0x030E0000
    uint32_t awaited_by, is_task, is_set;
    uint32_t node; /* that links a task in its thread's list */
#else
    uint32_t callback, callbacks;        /* the first one; those behind it, a list of pairs */
    const PyTypeObject *future, *task;   /* asyncio's */
    const PyDictObject *running;         /* event loop: task */
    _Atomic(const PyMethodDef *) wakeup; /* [handler] task_wakeup, once it has been seen */
    struct {
        const PyObject *code; /* NULL: asyncio has no such function */
        uint32_t cell;        /* which of its closure is the future that it finishes */
    } closures[AWAITERS_CLOSURES];
    struct {
        const PyTypeObject *type; /* functools.partial; NULL: not used */
        const PyObject *release;  /* of the future that is its first argument */
        uint32_t function, arguments;
    } partial;
    struct {
        const PyTypeObject *type; /* TaskGroup; NULL: there is none, or it is not as expected */
        const PyObject *done;     /* its function that is told of the end of a task */
        uint32_t parent;          /* which attribute is the task that awaits all of them */
    } group;
#endif
};

extern struct awaiters awaiters;

/* [GIL] asyncio's module of C code, borrowed, once all of asyncio has been imported; NULL. */
PyObject *awaiters_asyncio(void);

/* [collector] Has a thread with the GIL learn it, if a handler wants to know. */
void awaiters_drained(void);

/* [GIL] By version (awaiters_310.c, awaiters_314.c), once asyncio's module of C code is there.
 * May leave an exception behind. */
void awaiters_learn(PyObject *module);

#endif
