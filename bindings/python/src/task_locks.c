#include "task_locks.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "cprof/cprof.h"
#include "cprof/sample.h"
#include "cprof/waiters.h"
#include "walk.h"

#ifdef WALK_UNSUPPORTED

void task_locks_open(void)
{
}

void task_locks_close(void)
{
}

void task_locks_forget(void)
{
}

#else

/* ---- what is known of asyncio ---- */

/* The coroutines that wait; `held`: for what somebody holds. */
static struct place {
    const char *module, *type, *function;
    bool held;
    PyObject *code; /* NULL: not as expected */
} places[] = {
    {"asyncio.locks", "Lock", "acquire", true, NULL},
    {"asyncio.locks", "Event", "wait", false, NULL},
    {"asyncio.locks", "Condition", "wait", false, NULL},
    {"asyncio.locks", "Semaphore", "acquire", true, NULL},
    {"asyncio.queues", "Queue", "get", false, NULL},
    {"asyncio.queues", "Queue", "put", false, NULL},
};

enum { PLACES = sizeof places / sizeof places[0] };

static bool opened;
static unsigned session; /* counts task_locks_open() */

/* Kept for good once they are known. */
static struct {
    PyObject *original;           /* _LoopBoundMixin._get_loop */
    PyObject *hook;               /* ours in its place */
    PyTypeObject *mixin;          /* that it is in */
    PyTypeObject *future;         /* asyncio's */
    PyObject *await, *set_result; /* its methods */
    PyTypeObject *ours;           /* the futures of our own kind */
    PyObject *slot;               /* the name of what they carry: their wait */
    PyObject *current_task;
} asyncio;

static bool is_followed(void)
{
    return opened && (const void *)PyInterpreterState_Get() ==
                         atomic_load_explicit(&walk_interpreter, memory_order_relaxed);
}

/* ---- a wait ---- */

/* A future of our own kind carries one, and so does the iterator by which it is awaited. */
struct wait {
    PyObject_HEAD PyObject *task; /* that let it go; NULL: none */
    const struct place *place;
    uintptr_t lock;
    pid_t thread; /* that let it go; 0: none has */
    unsigned session;
    bool waits;
    struct cprof_waiter waiter;
};

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void begin(struct wait *wait)
{
    cprof_wait_begins(&wait->waiter, wait->lock, wait->place->held);
    wait->waits = true;
}

/* It does not wait any more: how long it did, and what is known of it. */
static uint64_t end(struct wait *wait, struct cprof_waited *of)
{
    const uint64_t waited = cprof_wait_ends(&wait->waiter, of);

    wait->waits = false;
    of->task = true;
    of->holder = wait->thread;
    return waited;
}

static int wait_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((struct wait *)self)->task);
    return 0;
}

static int wait_clear(PyObject *self)
{
    Py_CLEAR(((struct wait *)self)->task);
    return 0;
}

static void wait_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    (void)wait_clear(self);
    PyObject_GC_Del(self);
}

static PyTypeObject wait_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "cprof._cprof.Wait",
    .tp_basicsize = sizeof(struct wait),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_dealloc = wait_dealloc,
    .tp_traverse = wait_traverse,
    .tp_clear = wait_clear,
};

static PyObject *new_wait(const struct place *place, uintptr_t lock)
{
    struct wait *wait = PyObject_GC_New(struct wait, &wait_type);

    if (wait == NULL)
        return NULL;
    wait->task = NULL;
    wait->place = place;
    wait->lock = lock;
    wait->thread = 0;
    wait->session = session;
    wait->waits = false;
    wait->waiter = (struct cprof_waiter){0};
    PyObject_GC_Track((PyObject *)wait);
    return (PyObject *)wait;
}

/* ---- the names of tasks ---- */

/* asyncio numbers those that nobody has named. */
static bool is_numbered(const char *name)
{
    static const char prefix[] = "Task-";

    if (strncmp(name, prefix, sizeof prefix - 1) != 0)
        return false;
    for (name += sizeof prefix - 1; *name != '\0'; name++)
        if (!isdigit((unsigned char)*name))
            return false;
    return true;
}

/* Names of tasks are kept for good: so many of them, and those of coroutines are used instead.
 */
static bool is_one_of_few(uint32_t hash)
{
    enum { FEW = 256 };
    static uint32_t seen[FEW];
    static size_t count;

    for (size_t i = 0; i < count; i++)
        if (seen[i] == hash)
            return true;
    if (count == FEW)
        return false;
    seen[count++] = hash;
    return true;
}

static uint32_t kind_of_text(PyObject *text)
{
    const char *name = text != NULL && PyUnicode_Check(text) ? PyUnicode_AsUTF8(text) : NULL;

    return name != NULL ? cprof_kind(name) : 0;
}

/* What its user calls it, else what it runs; 0: not known. */
static uint32_t kind_of_task(PyObject *task)
{
    PyObject *name = PyObject_CallMethod(task, "get_name", NULL), *coroutine, *function = NULL;
    const char *text = name != NULL && PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : NULL;
    uint32_t kind = 0;

    PyErr_Clear();
    if (text != NULL && !is_numbered(text) && is_one_of_few((uint32_t)PyObject_Hash(name)))
        kind = kind_of_text(name);
    if (kind == 0) {
        coroutine = PyObject_CallMethod(task, "get_coro", NULL);
        if (coroutine != NULL)
            function = PyObject_GetAttrString(coroutine, "__qualname__");
        kind = kind_of_text(function);
        Py_XDECREF(coroutine);
        Py_XDECREF(function);
    }
    Py_XDECREF(name);
    PyErr_Clear();
    return kind;
}

/* ---- it goes on ---- */

/* `named`: Python may be called for the name of who let it go. */
static void count(struct wait *wait, const struct cprof_registers *caller, bool named)
{
    const bool counted = opened && wait->session == session;
    struct cprof_waited of;
    const uint64_t waited = end(wait, &of);
    const uint64_t period = counted ? cprof_due(CPROF_EVENT_LOCK, waited) : 0;

    if (period == 0)
        return;
    if (named && wait->task != NULL)
        of.holder_kind = kind_of_task(wait->task);
    cprof_take_wait(CPROF_EVENT_LOCK, period, waited, &of, caller);
}

/* In the place of the future's own iterator. It has no throw(): a coroutine into which an
 * exception is thrown drops it, and so ends the wait in its own frame. */
struct awaiting {
    PyObject_HEAD PyObject *inner; /* the future's own */
    struct wait *wait;
};

static PyObject *awaiting_next(PyObject *self)
{
    const struct cprof_registers caller = cprof_caller();
    struct awaiting *awaiting = (struct awaiting *)self;
    struct wait *wait = awaiting->wait;
    PyObject *inner = awaiting->inner, *next;

    if (wait->waits) {
        count(wait, &caller, true);
        Py_CLEAR(wait->task);
        return Py_TYPE(inner)->tp_iternext(inner);
    }
    begin(wait);
    next = Py_TYPE(inner)->tp_iternext(inner);
    if (next == NULL) { /* it was done already */
        struct cprof_waited of;
        (void)end(wait, &of);
    }
    return next;
}

/* Does the coroutine that awaited it run, and has dropped it? */
static bool is_innermost(const struct place *place)
{
    struct cprof_frame frame;
    bool complete;

    return walk_python(NULL, &frame, 1, &complete) == 1 &&
           frame.token == (uintptr_t)place->code;
}

/* Maybe with an exception on its way. */
static void awaiting_dealloc(PyObject *self)
{
    const struct cprof_registers caller = cprof_caller();
    struct awaiting *awaiting = (struct awaiting *)self;
    struct wait *wait = awaiting->wait;
    struct cprof_waited of;

    PyObject_GC_UnTrack(self);
    if (wait->waits && is_innermost(wait->place))
        count(wait, &caller, false);
    else if (wait->waits)
        (void)end(wait, &of);
    Py_DECREF(awaiting->inner);
    Py_DECREF((PyObject *)wait);
    PyObject_GC_Del(self);
}

static int awaiting_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((struct awaiting *)self)->inner);
    Py_VISIT((PyObject *)((struct awaiting *)self)->wait);
    return 0;
}

static PyTypeObject awaiting_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "cprof._cprof.Awaiting",
    .tp_basicsize = sizeof(struct awaiting),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_dealloc = awaiting_dealloc,
    .tp_traverse = awaiting_traverse,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = awaiting_next,
};

/* ---- a future of our own kind ---- */

/* What it carries; a new reference, or NULL. */
static struct wait *wait_of(PyObject *future)
{
    PyObject *wait = PyObject_GetAttr(future, asyncio.slot);

    if (wait == NULL)
        PyErr_Clear();
    else if (!Py_IS_TYPE(wait, &wait_type))
        Py_CLEAR(wait);
    return (struct wait *)wait;
}

/* Takes both references. */
static PyObject *new_awaiting(PyObject *inner, struct wait *wait)
{
    struct awaiting *awaiting = PyObject_GC_New(struct awaiting, &awaiting_type);

    if (awaiting == NULL) {
        Py_DECREF(inner);
        Py_DECREF((PyObject *)wait);
        return NULL;
    }
    awaiting->inner = inner;
    awaiting->wait = wait;
    PyObject_GC_Track((PyObject *)awaiting);
    return (PyObject *)awaiting;
}

/* Only its first iterator is that of a wait. */
static PyObject *future_await(PyObject *self, PyObject *unused)
{
    PyObject *inner = PyObject_CallOneArg(asyncio.await, self);
    struct wait *wait = inner != NULL ? wait_of(self) : NULL;

    (void)unused;
    if (wait != NULL && wait->waiter.since_ns == 0 && Py_TYPE(inner)->tp_iternext != NULL)
        return new_awaiting(inner, wait);
    Py_XDECREF((PyObject *)wait);
    return inner;
}

/* Who wakes it: the task that runs, if one does. */
static void note_holder(struct wait *wait)
{
    PyObject *task = PyObject_CallNoArgs(asyncio.current_task);

    PyErr_Clear(); /* no loop runs here */
    if (task == Py_None)
        Py_CLEAR(task);
    wait->thread = (pid_t)PyThread_get_thread_native_id();
    Py_XSETREF(wait->task, task);
}

static void blame(struct wait *wait, const struct cprof_registers *caller)
{
    const struct cprof_waited of = {.lock = wait->lock};
    const uint64_t own = wait->waiter.listed == 0 ? now_ns() - wait->waiter.since_ns : 0;
    uint64_t waited, period;

    note_holder(wait);
    waited = cprof_lets_go(wait->lock, wait->thread) + own;
    period = cprof_due(CPROF_EVENT_BLAME, waited);
    if (period != 0)
        cprof_take_wait(CPROF_EVENT_BLAME, period, waited, &of, caller);
}

static PyObject *future_set_result(PyObject *self, PyObject *result)
{
    const struct cprof_registers caller = cprof_caller();
    PyObject *done = PyObject_CallFunctionObjArgs(asyncio.set_result, self, result, NULL);
    struct wait *wait = done != NULL ? wait_of(self) : NULL;

    if (wait != NULL && wait->waits && opened && wait->session == session)
        blame(wait, &caller);
    Py_XDECREF((PyObject *)wait);
    return done;
}

static PyMethodDef future_methods[] = {{"__await__", future_await, METH_NOARGS, NULL},
                                       {"__iter__", future_await, METH_NOARGS, NULL},
                                       {"set_result", future_set_result, METH_O, NULL}};

/* New; NULL with the exception. */
static PyObject *new_future(PyObject *loop, const struct place *place, uintptr_t lock)
{
    PyObject *none = PyTuple_New(0), *named = Py_BuildValue("{sO}", "loop", loop);
    PyObject *wait = new_wait(place, lock), *future = NULL;

    if (none != NULL && named != NULL && wait != NULL)
        future = PyObject_Call((PyObject *)asyncio.ours, none, named);
    if (future != NULL && PyObject_SetAttr(future, asyncio.slot, wait) != 0)
        Py_CLEAR(future);
    Py_XDECREF(none);
    Py_XDECREF(named);
    Py_XDECREF(wait);
    return future;
}

/* ---- the loop that makes them ---- */

/* What a coroutine that is going to wait has for its loop, for as long as it takes to ask for a
 * future. All else is the loop's. */
struct maker {
    PyObject_HEAD PyObject *loop;
    const struct place *place;
    uintptr_t lock;
};

/* A loop may have futures of its own: these are left alone. */
static PyObject *maker_create_future(PyObject *self, PyObject *unused)
{
    const struct maker *maker = (struct maker *)self;
    PyObject *future = PyObject_CallMethod(maker->loop, "create_future", NULL), *ours;

    (void)unused;
    if (future == NULL || Py_TYPE(future) != asyncio.future)
        return future;
    ours = new_future(maker->loop, maker->place, maker->lock);
    if (ours == NULL) {
        PyErr_Clear();
        return future;
    }
    Py_DECREF(future);
    return ours;
}

static PyMethodDef maker_methods[] = {{"create_future", maker_create_future, METH_NOARGS, NULL},
                                      {NULL, NULL, 0, NULL}};

static PyObject *maker_getattro(PyObject *self, PyObject *name)
{
    if (PyUnicode_CompareWithASCIIString(name, maker_methods[0].ml_name) == 0)
        return PyObject_GenericGetAttr(self, name);
    return PyObject_GetAttr(((struct maker *)self)->loop, name);
}

static void maker_dealloc(PyObject *self)
{
    Py_DECREF(((struct maker *)self)->loop);
    PyObject_Free(self);
}

static PyTypeObject maker_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "cprof._cprof.Loop",
    .tp_basicsize = sizeof(struct maker),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_dealloc = maker_dealloc,
    .tp_getattro = maker_getattro,
    .tp_methods = maker_methods,
};

/* Takes the reference to the loop. */
static PyObject *new_maker(PyObject *loop, const struct place *place, uintptr_t lock)
{
    struct maker *maker = PyObject_New(struct maker, &maker_type);

    if (maker == NULL) {
        PyErr_Clear();
        return loop;
    }
    maker->loop = loop;
    maker->place = place;
    maker->lock = lock;
    return (PyObject *)maker;
}

/* ---- the hook ---- */

/* The coroutine that asks; NULL: none of asyncio's own. */
static const struct place *place_that_asks(void)
{
    struct cprof_frame frame;
    bool complete;

    if (walk_python(NULL, &frame, 1, &complete) != 1)
        return NULL;
    for (size_t i = 0; i < PLACES; i++)
        if (frame.token == (uintptr_t)places[i].code)
            return &places[i];
    return NULL;
}

/* _get_loop(self) */
static PyObject *get_loop(PyObject *self, PyObject *unused)
{
    PyObject *loop = PyObject_CallOneArg(asyncio.original, self);
    const struct place *place;

    (void)unused;
    if (loop == NULL || !is_followed())
        return loop;
    place = place_that_asks();
    return place != NULL ? new_maker(loop, place, (uintptr_t)self) : loop;
}

static PyMethodDef get_loop_method = {"_get_loop", get_loop, METH_NOARGS, NULL};

/* ---- what is there ---- */

/* What the program has imported; borrowed. */
static PyObject *loaded(const char *name)
{
    return PyDict_GetItemString(PyImport_GetModuleDict(), name);
}

/* New; NULL without an exception. */
static PyObject *attribute_of(const char *module, const char *name)
{
    PyObject *from = loaded(module);
    PyObject *found = from != NULL ? PyObject_GetAttrString(from, name) : NULL;

    PyErr_Clear();
    return found;
}

static PyTypeObject *type_of(const char *module, const char *name)
{
    PyObject *found = attribute_of(module, name);

    if (found != NULL && !PyType_Check(found))
        Py_CLEAR(found);
    return (PyTypeObject *)found;
}

static bool uses(PyObject *code, const char *name)
{
    PyObject *names = PyObject_GetAttrString(code, "co_names"), *text = NULL;
    bool found = false;

    if (names != NULL)
        text = PyUnicode_FromString(name);
    if (text != NULL)
        found = PySequence_Contains(names, text) == 1;
    Py_XDECREF(text);
    Py_XDECREF(names);
    PyErr_Clear();
    return found;
}

/* A coroutine that makes a future by its loop; one that is not so is left alone. */
static void learn_place(struct place *place)
{
    PyTypeObject *type = type_of(place->module, place->type);
    PyObject *function =
        type != NULL ? PyObject_GetAttrString((PyObject *)type, place->function) : NULL;
    PyObject *code =
        function != NULL && PyFunction_Check(function) ? PyFunction_GET_CODE(function) : NULL;

    PyErr_Clear();
    if (code != NULL && uses(code, "_get_loop") && uses(code, "create_future")) {
        Py_INCREF(code);
        place->code = code;
    }
    Py_XDECREF(function);
    Py_XDECREF((PyObject *)type);
}

static bool add_method(PyTypeObject *type, PyMethodDef *method)
{
    PyObject *descriptor = PyDescr_NewMethod(type, method);
    const bool added =
        descriptor != NULL &&
        PyObject_SetAttrString((PyObject *)type, method->ml_name, descriptor) == 0;
    Py_XDECREF(descriptor);
    return added;
}

/* A class like asyncio's own, with a slot for the wait. */
static bool make_ours(void)
{
    PyObject *made = PyObject_CallFunction((PyObject *)&PyType_Type, "s(O){s(O)ss}", "Future",
                                           (PyObject *)asyncio.future, "__slots__",
                                           asyncio.slot, "__module__", "asyncio");
    bool whole = made != NULL;

    for (size_t i = 0; whole && i < sizeof future_methods / sizeof *future_methods; i++)
        whole = add_method((PyTypeObject *)made, &future_methods[i]);
    asyncio.ours = (PyTypeObject *)made;
    return whole;
}

static bool ready_types(void)
{
    return PyType_Ready(&wait_type) == 0 && PyType_Ready(&awaiting_type) == 0 &&
           PyType_Ready(&maker_type) == 0;
}

/* All of it, or none is used. */
static bool learn(void)
{
    PyObject *original;

    asyncio.mixin = type_of("asyncio.mixins", "_LoopBoundMixin");
    asyncio.future = type_of("asyncio", "Future");
    asyncio.current_task = attribute_of("asyncio", "current_task");
    asyncio.slot = PyUnicode_InternFromString("_cprof_wait");
    if (asyncio.mixin == NULL || asyncio.future == NULL || asyncio.current_task == NULL ||
        asyncio.slot == NULL || !ready_types())
        return false;
    original = PyObject_GetAttrString((PyObject *)asyncio.mixin, get_loop_method.ml_name);
    if (original == NULL || !PyFunction_Check(original))
        return false;
    asyncio.original = original;
    asyncio.await = PyObject_GetAttrString((PyObject *)asyncio.future, "__await__");
    asyncio.set_result = PyObject_GetAttrString((PyObject *)asyncio.future, "set_result");
    for (size_t i = 0; i < PLACES; i++)
        learn_place(&places[i]);
    asyncio.hook = PyDescr_NewMethod(asyncio.mixin, &get_loop_method);
    return asyncio.await != NULL && asyncio.set_result != NULL && asyncio.hook != NULL &&
           make_ours();
}

/* Is `value` what the class has for _get_loop()? */
static bool mixin_has(PyObject *value)
{
    PyObject *has = PyObject_GetAttrString((PyObject *)asyncio.mixin, get_loop_method.ml_name);

    PyErr_Clear();
    Py_XDECREF(has);
    return has == value;
}

static void hook(void)
{
    static enum { NOT_TRIED, KNOWN, REFUSED } state;

    if (state == NOT_TRIED) {
        state = learn() ? KNOWN : REFUSED;
        if (state == REFUSED)
            cprof_say(
                "this asyncio's locks are not as expected: waits of tasks for them are not "
                "counted");
    }
    PyErr_Clear();
    if (state == KNOWN && mixin_has(asyncio.original))
        (void)PyObject_SetAttrString((PyObject *)asyncio.mixin, get_loop_method.ml_name,
                                     asyncio.hook);
    PyErr_Clear();
}

/* ---- its import ---- */

/* The last module that asyncio imports of itself. */
#define LAST_OF_ASYNCIO "asyncio.unix_events"

/* find_spec(name, path, target): finds nothing, and knows so what is imported. */
static PyObject *finder_find_spec(PyObject *self, PyObject *const *arguments, Py_ssize_t count,
                                  PyObject *names)
{
    (void)self, (void)names;
    if (count > 0 && is_followed() && PyUnicode_Check(arguments[0]) &&
        PyUnicode_CompareWithASCIIString(arguments[0], LAST_OF_ASYNCIO) == 0)
        hook();
    Py_RETURN_NONE;
}

static PyMethodDef finder_methods[] = {{"find_spec",
                                        (PyCFunction)(void (*)(void))finder_find_spec,
                                        METH_FASTCALL | METH_KEYWORDS, NULL},
                                       {NULL, NULL, 0, NULL}};

static PyTypeObject finder_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "cprof._cprof.Finder",
    .tp_basicsize = sizeof(PyObject),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_methods = finder_methods,
};

static PyObject *finder; /* among those of sys.meta_path; NULL: it is not */

static void wait_for_import(void)
{
    PyObject *finders = PySys_GetObject("meta_path");

    if (finder != NULL || finders == NULL || !PyList_Check(finders) ||
        PyType_Ready(&finder_type) != 0)
        return;
    finder = PyObject_New(PyObject, &finder_type);
    if (finder != NULL && PyList_Insert(finders, 0, finder) != 0)
        Py_CLEAR(finder);
}

static void forget_import(void)
{
    PyObject *finders = PySys_GetObject("meta_path"), *done = NULL;

    if (finder == NULL)
        return;
    if (finders != NULL)
        done = PyObject_CallMethod(finders, "remove", "O", finder);
    Py_XDECREF(done);
    Py_CLEAR(finder);
}

/* ---- in and out ---- */

void task_locks_open(void)
{
    session++;
    opened = true;
    if (loaded(LAST_OF_ASYNCIO) != NULL)
        hook();
    else
        wait_for_import();
    PyErr_Clear();
}

void task_locks_close(void)
{
    opened = false;
}

void task_locks_forget(void)
{
    forget_import();
    if (asyncio.hook != NULL && mixin_has(asyncio.hook))
        (void)PyObject_SetAttrString((PyObject *)asyncio.mixin, get_loop_method.ml_name,
                                     asyncio.original);
    PyErr_Clear();
}

#endif
