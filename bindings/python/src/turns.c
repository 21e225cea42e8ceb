#include "turns.h"

#include <stdbool.h>
#include <stdio.h>

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "cprof/cprof.h"
#include "cprof/loop.h"
#include "cprof/sample.h"

typedef PyObject *polling(PyObject *self, PyObject *const *arguments, Py_ssize_t count,
                          PyObject *names);

/* NULL: no hook is in. Guarded by the GIL, as the next ones; what is called once stays. */
static PyMethodDef *poll_method, *set_method;
static polling *poll_original;
static PyCFunction set_original;
static PyObject *get_running; /* asyncio's _get_running_loop */
static const PyInterpreterState *learnt_in;

/* Of the calling thread: does a loop of asyncio's run on it? */
static CPROF_THREAD_LOCAL struct {
    enum { NOT_ASKED, RUNS, RUNS_NOT } state;
    struct cprof_loop *loop; /* that is followed */
} here;

/* ---- the thread's loop ---- */

static void leave(void)
{
    if (here.loop != NULL)
        cprof_loop_leave(here.loop);
    here.loop = NULL;
}

/* It may have begun before the hooks were there. */
static void ask(void)
{
    PyObject *loop = PyObject_CallNoArgs(get_running);

    here.state = loop != NULL && loop != Py_None ? RUNS : RUNS_NOT;
    Py_XDECREF(loop);
    PyErr_Clear();
}

/* As threading knows it; asking threading would make one of a thread that it does not know. */
static void name_thread(char *name, size_t size)
{
    PyObject *threading = PyDict_GetItemString(PyImport_GetModuleDict(), "threading");
    PyObject *active = threading != NULL ? PyObject_GetAttrString(threading, "_active") : NULL;
    PyObject *ident = PyLong_FromUnsignedLong(PyThread_get_thread_ident());
    PyObject *thread = active != NULL && ident != NULL ? PyObject_GetItem(active, ident) : NULL;
    PyObject *text = thread != NULL ? PyObject_GetAttrString(thread, "name") : NULL;
    const char *known = text != NULL && PyUnicode_Check(text) ? PyUnicode_AsUTF8(text) : NULL;

    snprintf(name, size, "%s", known != NULL ? known : "thread");
    Py_XDECREF(text);
    Py_XDECREF(thread);
    Py_XDECREF(ident);
    Py_XDECREF(active);
    PyErr_Clear();
}

static void enter(void)
{
    char name[64];
    const struct cprof_loop_options options = {.name = name};

    name_thread(name, sizeof name);
    here.loop = cprof_loop_enter(&options);
}

/* NULL: none is followed. */
static struct cprof_loop *loop_here(void)
{
    if (!cprof_is_running() || (here.loop != NULL && !cprof_loop_is_current(here.loop)))
        leave();
    if (here.state == NOT_ASKED)
        ask();
    if (here.loop == NULL && here.state == RUNS && cprof_is_running())
        enter();
    return here.loop;
}

/* ---- hooks ---- */

/* Interpreters share the definitions that the hooks are in, but neither objects nor, from 3.12
 * on, the GIL. */
static bool is_anothers(void)
{
    return PyInterpreterState_Get() != learnt_in;
}

static PyObject *turns_poll(PyObject *self, PyObject *const *arguments, Py_ssize_t count,
                            PyObject *names)
{
    struct cprof_loop *loop = is_anothers() ? NULL : loop_here();
    PyObject *result;

    if (loop == NULL)
        return poll_original(self, arguments, count, names);
    cprof_loop_waits(loop);
    result = poll_original(self, arguments, count, names);
    if (here.loop == loop) /* a signal's handler may have run anything */
        cprof_loop_wakes(loop);
    return result;
}

static PyObject *turns_set_running(PyObject *self, PyObject *loop)
{
    if (is_anothers())
        return set_original(self, loop);
    if (loop == Py_None)
        leave();
    here.state = loop != Py_None ? RUNS : RUNS_NOT;
    return set_original(self, loop);
}

/* ---- in and out ---- */

/* The module that the program has imported; borrowed. */
static PyObject *loaded(const char *name)
{
    return PyDict_GetItemString(PyImport_GetModuleDict(), name);
}

/* The definition of epoll.poll(), if it is called as expected; NULL. */
static PyMethodDef *find_poll(void)
{
    PyObject *select = loaded("select");
    PyObject *type = select != NULL ? PyObject_GetAttrString(select, "epoll") : NULL;
    PyObject *method = type != NULL ? PyObject_GetAttrString(type, "poll") : NULL;
    PyMethodDef *found = NULL;

    if (method != NULL && Py_IS_TYPE(method, &PyMethodDescr_Type))
        found = ((PyMethodDescrObject *)method)->d_method;
    Py_XDECREF(method);
    Py_XDECREF(type);
    return found != NULL && found->ml_flags == (METH_FASTCALL | METH_KEYWORDS) ? found : NULL;
}

static PyMethodDef *find_set_running(PyObject *asyncio)
{
    PyObject *function = PyObject_GetAttrString(asyncio, "_set_running_loop");
    PyMethodDef *found = NULL;

    if (function != NULL && PyCFunction_CheckExact(function))
        found = ((PyCFunctionObject *)function)->m_ml;
    Py_XDECREF(function);
    return found != NULL && found->ml_flags == METH_O ? found : NULL;
}

static void hook(PyMethodDef *poll, PyMethodDef *set)
{
    poll_method = poll;
    set_method = set;
    learnt_in = PyInterpreterState_Get();
    poll_original = (polling *)(void (*)(void))poll->ml_meth;
    set_original = set->ml_meth;
    poll->ml_meth = (PyCFunction)(void (*)(void))turns_poll;
    set->ml_meth = turns_set_running;
}

void turns_learn(void)
{
    PyObject *asyncio = poll_method == NULL ? loaded("_asyncio") : NULL;

    if (asyncio == NULL)
        return;
    PyMethodDef *poll = find_poll(), *set = find_set_running(asyncio);
    if (get_running == NULL)
        get_running = PyObject_GetAttrString(asyncio, "_get_running_loop");
    if (poll != NULL && set != NULL && get_running != NULL)
        hook(poll, set);
    PyErr_Clear();
}

/* Who has wrapped us meanwhile keeps us. */
void turns_forget(void)
{
    if (poll_method == NULL ||
        poll_method->ml_meth != (PyCFunction)(void (*)(void))turns_poll ||
        set_method->ml_meth != turns_set_running)
        return;
    poll_method->ml_meth = (PyCFunction)(void (*)(void))poll_original;
    set_method->ml_meth = set_original;
    poll_method = set_method = NULL;
}
