/*
 * Handler code. Who awaits a task, before 3.14: its callbacks tell, those of asyncio's own that
 * awaiters_310.c has learnt.
 */
#include <string.h>

#include "objects_310.h"

enum {
    LOOPS_MAX = 32,     /* event loops that are looked at, the youngest to have begun a step */
    CALLBACKS_MAX = 16, /* of one future */
    BASES_MAX = 4,      /* classes between a task's own and asyncio's */
};

/* The tasks that run, as asyncio has them by event loop, read when the first is asked for. */
struct tasks {
    bool read;
    unsigned count;
    struct {
        const char *task;
        const PyGenObject *coroutine;
    } running[LOOPS_MAX];
};

static void read_tasks(struct tasks *tasks, struct readable *memory)
{
    PyDictKeyEntry entries[LOOPS_MAX];
    const size_t count = dict_entries(awaiters.running, entries, LOOPS_MAX, memory);

    tasks->read = true;
    for (size_t i = 0; i < count; i++) {
        const char *task = (const char *)entries[i].me_value;
        const PyGenObject **coroutine = &tasks->running[tasks->count].coroutine;
        if (task == NULL ||
            !copy_checked(coroutine, task + awaiters.coroutine, sizeof *coroutine, memory))
            continue;
        tasks->running[tasks->count++].task = task;
    }
}

static const char *task_of(struct tasks *tasks, PyThreadState *state,
                           const PyGenObject *coroutine, struct readable *memory)
{
    (void)state;
    if (!atomic_load_explicit(&awaiters.known, memory_order_acquire)) {
        if (Py_TYPE(coroutine) == &PyCoro_Type)
            atomic_store_explicit(&awaiters.met, true, memory_order_relaxed);
        return NULL;
    }
    if (awaiters.running->ma_used == 0)
        return NULL;
    if (!tasks->read)
        read_tasks(tasks, memory);
    for (unsigned i = 0; i < tasks->count; i++)
        if (tasks->running[i].coroutine == coroutine)
            return is_there(tasks->running[i].task, memory) ? tasks->running[i].task : NULL;
    return NULL;
}

/* ---- futures ---- */

static bool is_of(const char *object, const PyTypeObject *wanted, struct readable *memory)
{
    const PyTypeObject *type;

    if (!is_there(object, memory))
        return false;
    type = Py_TYPE((const PyObject *)object);
    for (int bases = 0; type != wanted; bases++) {
        if (bases == BASES_MAX || !readable(memory, type, sizeof *type))
            return false;
        type = type->tp_base;
    }
    return true;
}

static bool is_task(const char *future, struct readable *memory)
{
    return is_of(future, awaiters.task, memory);
}

/* ---- callbacks ---- */

/* `await`: the builtin method task_wakeup of the task that waits. */
static const char *woken_task(const PyCFunctionObject *method, struct readable *memory)
{
    static const char name[] = "task_wakeup";
    const PyMethodDef *known = atomic_load_explicit(&awaiters.wakeup, memory_order_relaxed);
    const char *task = (const char *)method->m_self;
    char text[sizeof name];

    if (!is_task(task, memory))
        return NULL;
    if (method->m_ml == known)
        return task;
    if (!readable(memory, method->m_ml, sizeof *method->m_ml) ||
        !cprof_read_alive(text, (uintptr_t)method->m_ml->ml_name, sizeof text) ||
        memcmp(text, name, sizeof name) != 0)
        return NULL;
    atomic_store_explicit(&awaiters.wakeup, method->m_ml, memory_order_relaxed);
    return task;
}

/* gather(), wait(), shield(): what a function that one of them has made finishes when it is
 * called. */
static const char *enclosed_future(const PyFunctionObject *function, struct readable *memory)
{
    const PyTupleObject *cells = (const PyTupleObject *)function->func_closure;

    for (unsigned i = 0; i < AWAITERS_CLOSURES; i++) {
        const PyCellObject *cell;
        if (awaiters.closures[i].code == NULL ||
            awaiters.closures[i].code != function->func_code ||
            !readable(memory, &cells->ob_item[awaiters.closures[i].cell], sizeof cell))
            continue;
        cell = (const PyCellObject *)cells->ob_item[awaiters.closures[i].cell];
        return readable(memory, cell, sizeof *cell) ? (const char *)cell->ob_ref : NULL;
    }
    return NULL;
}

/* wait_for() until 3.11: the argument of a partial call of a function that finishes it. */
static const char *released_future(const PyObject *partial, struct readable *memory)
{
    const char *fields = (const char *)partial;
    const PyTupleObject *arguments;

    if (!readable(memory, fields + awaiters.partial.function, sizeof(PyObject *)) ||
        !readable(memory, fields + awaiters.partial.arguments, sizeof(PyObject *)) ||
        field(fields, awaiters.partial.function) != awaiters.partial.release)
        return NULL;
    arguments = (const PyTupleObject *)field(fields, awaiters.partial.arguments);
    return readable(memory, arguments, sizeof *arguments) ? (const char *)arguments->ob_item[0]
                                                          : NULL;
}

/* A TaskGroup: the task that it is of. */
static const char *group_task(const PyMethodObject *method, struct readable *memory)
{
#if PY_VERSION_HEX >= 0x030B0000
    PyObject *const *values;

    if (awaiters.group.type == NULL || method->im_func != awaiters.group.done ||
        !readable(memory, method->im_self, sizeof(PyObject)) ||
        Py_TYPE(method->im_self) != awaiters.group.type)
        return NULL;
    values = instance_values(method->im_self, memory);
    if (values == NULL || !readable(memory, &values[awaiters.group.parent], sizeof *values))
        return NULL;
    return (const char *)values[awaiters.group.parent];
#else
    (void)method, (void)memory;
    return NULL;
#endif
}

/* The future that a callback finishes, the task that it wakes; NULL: it does neither. */
static const char *waiter_behind(const PyObject *callback, struct readable *memory)
{
    const char *future = NULL;
    const PyTypeObject *type;

    if (!readable(memory, callback, sizeof(PyMethodObject)))
        return NULL;
    type = Py_TYPE(callback);
    if (type == &PyCFunction_Type)
        return woken_task((const PyCFunctionObject *)callback, memory);
    if (type == &PyFunction_Type && readable(memory, callback, sizeof(PyFunctionObject)))
        future = enclosed_future((const PyFunctionObject *)callback, memory);
    else if (type == &PyMethod_Type)
        future = group_task((const PyMethodObject *)callback, memory);
    else if (type == awaiters.partial.type)
        future = released_future(callback, memory);
    return future != NULL && is_of(future, awaiters.future, memory) ? future : NULL;
}

/* True while there is one at most. */
static bool still_one(const PyObject *callback, const char **waiter, struct readable *memory)
{
    const char *other = callback != NULL ? waiter_behind(callback, memory) : NULL;

    if (other != NULL && *waiter != NULL && other != *waiter)
        return false;
    *waiter = other != NULL ? other : *waiter;
    return true;
}

static const char *awaiter_of(const char *future, struct readable *memory)
{
    const PyListObject *list = (const PyListObject *)field(future, awaiters.callbacks);
    const char *waiter = NULL;

    if (!still_one(field(future, awaiters.callback), &waiter, memory))
        return NULL;
    if (list == NULL)
        return waiter;
    if (!readable(memory, list, sizeof *list) || list->ob_base.ob_size > CALLBACKS_MAX)
        return NULL;
    for (Py_ssize_t i = 0; i < list->ob_base.ob_size; i++) {
        const PyTupleObject *pair;
        if (!readable(memory, &list->ob_item[i], sizeof pair))
            return NULL;
        pair = (const PyTupleObject *)list->ob_item[i];
        if (!readable(memory, pair, sizeof *pair) ||
            !still_one(pair->ob_item[0], &waiter, memory))
            return NULL;
    }
    return waiter;
}
