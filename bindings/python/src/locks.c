#include "locks.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "cprof/cprof.h"
#include "cprof/readable.h"
#include "cprof/sample.h"
#include "cprof/waiters.h"
#include "gil.h"
#include "task_locks.h"
#include "walk.h"

#ifdef WALK_UNSUPPORTED

int locks_open(const char **why)
{
    *why = WALK_UNSUPPORTED;
    return -ENOTSUP;
}

void locks_close(void)
{
}

void locks_child(void)
{
}

#else

/* ---- the methods ---- */

enum kind { LOCK, RLOCK, SEMLOCK, KINDS };

#define METHODS(ACQUIRES, RELEASES)                                                            \
    ACQUIRES(lock_acquire, LOCK, "acquire")                                                    \
    ACQUIRES(lock_acquire_lock, LOCK, "acquire_lock")                                          \
    ACQUIRES(lock_enter, LOCK, "__enter__")                                                    \
    ACQUIRES(rlock_acquire, RLOCK, "acquire")                                                  \
    ACQUIRES(rlock_enter, RLOCK, "__enter__")                                                  \
    ACQUIRES(rlock_acquire_restore, RLOCK, "_acquire_restore")                                 \
    ACQUIRES(semlock_acquire, SEMLOCK, "acquire")                                              \
    ACQUIRES(semlock_enter, SEMLOCK, "__enter__")                                              \
    RELEASES(lock_release, LOCK, "release")                                                    \
    RELEASES(lock_release_lock, LOCK, "release_lock")                                          \
    RELEASES(lock_exit, LOCK, "__exit__")                                                      \
    RELEASES(rlock_release, RLOCK, "release")                                                  \
    RELEASES(rlock_exit, RLOCK, "__exit__")                                                    \
    RELEASES(rlock_release_save, RLOCK, "_release_save")                                       \
    RELEASES(semlock_release, SEMLOCK, "release")                                              \
    RELEASES(semlock_exit, SEMLOCK, "__exit__")

#define NUMBER(name, kind, spelled) name,
enum method { METHODS(NUMBER, NUMBER) METHOD_COUNT };
#undef NUMBER

#define KIND(name, kind, spelled) [name] = kind,
static const enum kind kinds[METHOD_COUNT] = {METHODS(KIND, KIND)};
#undef KIND

/* How C is called, by a method's flags. */
typedef PyObject *(*one_function)(PyObject *, PyObject *); /* NOARGS, O, VARARGS */
typedef PyObject *(*keywords_function)(PyObject *, PyObject *, PyObject *);
typedef PyObject *(*fast_function)(PyObject *, PyObject *const *, Py_ssize_t);
typedef PyObject *(*fast_keywords_function)(PyObject *, PyObject *const *, Py_ssize_t,
                                            PyObject *);

static struct {
    PyMethodDef *definition; /* NULL: this Python has none */
    PyCFunction original;
    bool in;
} methods[METHOD_COUNT];

static bool opened;

/* ---- is it free? ---- */

/* Where a lock's state is: a byte in the object, as PyMutex has it (bit 0: taken); or behind a
 * pointer there, such a byte or a semaphore's value. */
enum place { NOWHERE, BYTE, BYTE_BEHIND, VALUE_BEHIND };

static struct {
    enum place place;
    size_t owner; /* an RLock's: the offset of its owner's ident */
} shapes[KINDS];

enum { STATE = sizeof(PyObject) }; /* the offset of the state, or of the pointer */

static inline bool is_taken(enum kind kind, const PyObject *lock)
{
    const volatile uint8_t *state = (const volatile uint8_t *)lock + STATE;
    const enum place place = shapes[kind].place;

    if (place == BYTE)
        return (*state & 1) != 0;
    state = *(const volatile uint8_t *const *)(const void *)((const uint8_t *)lock + STATE);
    if (place == VALUE_BEHIND) /* musl's highest bit: somebody waits */
        return (*(const volatile uint32_t *)state & INT32_MAX) == 0;
    return (*state & 1) != 0;
}

static inline bool is_anothers(enum kind kind, const PyObject *lock)
{
    if (__builtin_expect(!is_taken(kind, lock), 1))
        return false;
    return kind != RLOCK ||
           *(const volatile unsigned long *)((const char *)lock + shapes[kind].owner) !=
               PyThread_get_thread_ident();
}

/* ---- a call that waits ---- */

enum signature { ONE, KEYWORDS, FAST, FAST_KEYWORDS, UNKNOWN };

struct call {
    enum method method;
    enum signature signature;
    PyObject *self;
    PyObject *arguments;   /* the one, or a tuple */
    PyObject *const *fast; /* or these */
    Py_ssize_t count;
    PyObject *keywords; /* a dict, or the names of the last of fast; may be NULL */
};

static PyObject *go_on(const struct call *call)
{
    const PyCFunction original = methods[call->method].original;

    switch (call->signature) {
    case KEYWORDS:
        return ((keywords_function)(void (*)(void))original)(call->self, call->arguments,
                                                             call->keywords);
    case FAST:
        return ((fast_function)(void (*)(void))original)(call->self, call->fast, call->count);
    case FAST_KEYWORDS:
        return ((fast_keywords_function)(void (*)(void))original)(call->self, call->fast,
                                                                  call->count, call->keywords);
    default:
        return original(call->self, call->arguments);
    }
}

/* acquire(blocking=True, timeout=-1): what is given for one of the two; NULL: nothing. */
static PyObject *given(const struct call *call, Py_ssize_t place, const char *name)
{
    if (call->signature == KEYWORDS) {
        if (place < PyTuple_GET_SIZE(call->arguments))
            return PyTuple_GET_ITEM(call->arguments, place);
        return call->keywords != NULL ? PyDict_GetItemString(call->keywords, name) : NULL;
    }
    if (call->signature != FAST_KEYWORDS)
        return NULL;
    if (place < call->count)
        return call->fast[place];
    for (Py_ssize_t i = 0; call->keywords != NULL && i < PyTuple_GET_SIZE(call->keywords); i++)
        if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(call->keywords, i), name) == 0)
            return call->fast[call->count + i];
    return NULL;
}

static bool is_zero(PyObject *number)
{
    int overflow;

    if (number == NULL)
        return false;
    if (PyFloat_CheckExact(number))
        return PyFloat_AS_DOUBLE(number) == 0;
    return number == Py_False ||
           (PyLong_CheckExact(number) && PyLong_AsLongAndOverflow(number, &overflow) == 0 &&
            overflow == 0);
}

/* A multiprocessing.RLock that this thread has already. */
static bool has_already(PyObject *lock)
{
    PyObject *kind = PyObject_GetAttrString(lock, "kind"), *mine = NULL;
    bool has = false;

    if (is_zero(kind)) /* RECURSIVE_MUTEX */
        mine = PyObject_CallMethod(lock, "_is_mine", NULL);
    has = mine == Py_True;
    PyErr_Clear();
    Py_XDECREF(kind);
    Py_XDECREF(mine);
    return has;
}

/* Or does it only try? */
static bool waits(const struct call *call)
{
    const bool shared = kinds[call->method] == SEMLOCK;

    if (is_zero(given(call, 0, shared ? "block" : "blocking")) ||
        is_zero(given(call, 1, "timeout")))
        return false;
    return !shared || !has_already(call->self);
}

static bool is_followed(void)
{
    return opened && (const void *)PyInterpreterState_Get() ==
                         atomic_load_explicit(&walk_interpreter, memory_order_relaxed);
}

/* Is it the end of a thread that is waited for? Up to 3.12 that is a lock. */
static bool is_join(void)
{
#if PY_VERSION_HEX < 0x030D0000
    struct cprof_frame frame;
    bool complete;

    if (walk_python(NULL, &frame, 1, &complete) == 1) {
        PyObject *name = ((PyCodeObject *)(uintptr_t)frame.token)->co_name;

        return PyUnicode_CompareWithASCIIString(name, "_wait_for_tstate_lock") == 0 ||
               PyUnicode_CompareWithASCIIString(name, "_shutdown") == 0;
    }
#endif
    return false;
}

static void count_wait(uint64_t waited, const struct cprof_waited *of,
                       const struct cprof_registers *caller)
{
    uint64_t period = cprof_due(CPROF_EVENT_LOCK, waited);

    if (period == 0)
        return;
    if (is_join())
        cprof_not_taken(CPROF_EVENT_LOCK);
    else
        cprof_take_wait(CPROF_EVENT_LOCK, period, waited, of, caller);
}

/* A call that was broken off by an exception has not waited, as far as we know. */
static PyObject *wait_for(const struct call *call, const struct cprof_registers *caller)
{
    struct cprof_waiter waiter;
    struct cprof_waited of;
    PyObject *result;
    uint64_t waited;
    const bool within = gil_within;

    if (!is_followed() || !waits(call))
        return go_on(call);
    cprof_wait_begins(&waiter, (uintptr_t)call->self, true);
    gil_within = true; /* the wait for the GIL at its end is part of it */
    result = go_on(call);
    gil_within = within;
    waited = cprof_wait_ends(&waiter, &of);
    if (result != NULL)
        count_wait(waited, &of, caller);
    return result;
}

/* ---- a call that lets go while others wait ---- */

/* Sampled once it is let go: nobody waits for us. */
static PyObject *let_go(const struct call *call, const struct cprof_registers *caller)
{
    const struct cprof_waited of = {.lock = (uintptr_t)call->self};
    uint64_t waited, period;
    PyObject *result;

    if (!is_followed())
        return go_on(call);
    waited = cprof_lets_go(of.lock, (pid_t)PyThread_get_thread_native_id());
    result = go_on(call);
    period = waited != 0 ? cprof_due(CPROF_EVENT_BLAME, waited) : 0;
    if (period != 0)
        cprof_take_wait(CPROF_EVENT_BLAME, period, waited, &of, caller);
    return result;
}

/* ---- the hooks ---- */

/* Each is jumped to by a hook, whose caller is so ours. */
#define SLOW_WAYS(prefix, ...)                                                                 \
    __attribute__((noinline)) static PyObject *prefix##_one(PyObject *self, PyObject *one,     \
                                                            enum method method)                \
    {                                                                                          \
        const struct cprof_registers caller = cprof_caller();                                  \
        const struct call call = {                                                             \
            .method = method, .signature = ONE, .self = self, .arguments = one};               \
        return __VA_ARGS__;                                                                    \
    }                                                                                          \
    __attribute__((noinline)) static PyObject *prefix##_keywords(                              \
        PyObject *self, PyObject *tuple, PyObject *keywords, enum method method)               \
    {                                                                                          \
        const struct cprof_registers caller = cprof_caller();                                  \
        const struct call call = {.method = method,                                            \
                                  .signature = KEYWORDS,                                       \
                                  .self = self,                                                \
                                  .arguments = tuple,                                          \
                                  .keywords = keywords};                                       \
        return __VA_ARGS__;                                                                    \
    }                                                                                          \
    __attribute__((noinline)) static PyObject *prefix##_fast(                                  \
        PyObject *self, PyObject *const *fast, Py_ssize_t count, enum method method)           \
    {                                                                                          \
        const struct cprof_registers caller = cprof_caller();                                  \
        const struct call call = {                                                             \
            .method = method, .signature = FAST, .self = self, .fast = fast, .count = count};  \
        return __VA_ARGS__;                                                                    \
    }                                                                                          \
    __attribute__((noinline)) static PyObject *prefix##_fast_keywords(                         \
        PyObject *self, PyObject *const *fast, Py_ssize_t count, PyObject *keywords,           \
        enum method method)                                                                    \
    {                                                                                          \
        const struct cprof_registers caller = cprof_caller();                                  \
        const struct call call = {.method = method,                                            \
                                  .signature = FAST_KEYWORDS,                                  \
                                  .self = self,                                                \
                                  .fast = fast,                                                \
                                  .count = count,                                              \
                                  .keywords = keywords};                                       \
        return __VA_ARGS__;                                                                    \
    }
SLOW_WAYS(wait, wait_for(&call, &caller))
SLOW_WAYS(release, let_go(&call, &caller))
#undef SLOW_WAYS

/* A method in each of the ways that C is called, of which it has one. */
#define HOOKS(name, slow, is_slow)                                                             \
    static PyObject *name##_one(PyObject *self, PyObject *one)                                 \
    {                                                                                          \
        if (is_slow)                                                                           \
            return slow##_one(self, one, name);                                                \
        return methods[name].original(self, one);                                              \
    }                                                                                          \
    static PyObject *name##_keywords(PyObject *self, PyObject *tuple, PyObject *keywords)      \
    {                                                                                          \
        if (is_slow)                                                                           \
            return slow##_keywords(self, tuple, keywords, name);                               \
        return ((keywords_function)(void (*)(void))methods[name].original)(self, tuple,        \
                                                                           keywords);          \
    }                                                                                          \
    static PyObject *name##_fast(PyObject *self, PyObject *const *fast, Py_ssize_t count)      \
    {                                                                                          \
        if (is_slow)                                                                           \
            return slow##_fast(self, fast, count, name);                                       \
        return ((fast_function)(void (*)(void))methods[name].original)(self, fast, count);     \
    }                                                                                          \
    static PyObject *name##_fast_keywords(PyObject *self, PyObject *const *fast,               \
                                          Py_ssize_t count, PyObject *keywords)                \
    {                                                                                          \
        if (is_slow)                                                                           \
            return slow##_fast_keywords(self, fast, count, keywords, name);                    \
        return ((fast_keywords_function)(void (*)(void))methods[name].original)(               \
            self, fast, count, keywords);                                                      \
    }
#define ACQUIRES(name, kind, spelled) HOOKS(name, wait, is_anothers(kind, self))
#define RELEASES(name, kind, spelled) HOOKS(name, release, cprof_has_waiters((uintptr_t)self))
METHODS(ACQUIRES, RELEASES)
#undef ACQUIRES
#undef RELEASES

#define ROW(name, kind, spelled)                                                               \
    [name] = {spelled,                                                                         \
              {(PyCFunction)name##_one, (PyCFunction)(void (*)(void))name##_keywords,          \
               (PyCFunction)(void (*)(void))name##_fast,                                       \
               (PyCFunction)(void (*)(void))name##_fast_keywords}},
static const struct {
    const char *name;
    PyCFunction hooks[UNKNOWN];
} rows[METHOD_COUNT] = {METHODS(ROW, ROW)};
#undef ROW

/* ---- what is there ---- */

static enum signature signature_of(const PyMethodDef *definition)
{
    switch (definition->ml_flags) {
    case METH_NOARGS:
    case METH_O:
    case METH_VARARGS:
        return ONE;
    case METH_VARARGS | METH_KEYWORDS:
        return KEYWORDS;
    case METH_FASTCALL:
        return FAST;
    case METH_FASTCALL | METH_KEYWORDS:
        return FAST_KEYWORDS;
    default:
        return UNKNOWN;
    }
}

/* The kernel writes there what is there already, and says if it can't. */
static bool is_writable(PyCFunction *place)
{
    PyCFunction same = *place;
    int ends[2];
    bool written;

    if (pipe(ends) != 0)
        return false;
    written = write(ends[1], &same, sizeof same) == (ssize_t)sizeof same &&
              read(ends[0], place, sizeof *place) == (ssize_t)sizeof *place;
    close(ends[0]);
    close(ends[1]);
    return written;
}

/* The definition of a type's own method. True: there is none, or it is as known. */
static bool find(enum method method, PyTypeObject *type)
{
    PyObject *descriptor =
        type != NULL ? PyDict_GetItemString(type->tp_dict, rows[method].name) : NULL;
    PyMethodDef *definition;

    methods[method].definition = NULL;
    if (descriptor == NULL)
        return true;
    if (!Py_IS_TYPE(descriptor, &PyMethodDescr_Type))
        return false;
    definition = ((PyMethodDescrObject *)descriptor)->d_method;
    if (signature_of(definition) == UNKNOWN || !is_writable(&definition->ml_meth))
        return false;
    methods[method].definition = definition;
    return true;
}

static bool find_all(PyTypeObject *const *types)
{
    static const enum method needed[] = {lock_acquire,  lock_enter,  lock_release,  lock_exit,
                                         rlock_acquire, rlock_enter, rlock_release, rlock_exit};

    for (enum method method = 0; method < METHOD_COUNT; method++)
        if (!methods[method].in && !find(method, types[kinds[method]]))
            return false;
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (methods[needed[i]].definition == NULL)
            return false;
    return true;
}

/* ---- where a lock's state is ---- */

/* What may be a state, when the lock is free, taken, and free again. */
struct seen {
    uintptr_t word;
    uint32_t behind;
    unsigned char object[128];
};

static void look(PyObject *lock, size_t size, struct seen *seen)
{
    memcpy(seen->object, lock, size);
    memcpy(&seen->word, seen->object + STATE, sizeof seen->word);
    if (!cprof_read_all(&seen->behind, seen->word, sizeof seen->behind))
        seen->behind = UINT32_MAX;
}

static bool call_method(PyObject *lock, const char *name)
{
    PyObject *result = PyObject_CallMethod(lock, name, NULL);

    Py_XDECREF(result);
    return result != NULL;
}

static enum place place_of(const struct seen *seen)
{
    const uintptr_t first = seen[0].word;
    const bool same = seen[1].word == first && seen[2].word == first;
    const uint32_t *v[] = {&seen[0].behind, &seen[1].behind, &seen[2].behind};

    if (seen[0].object[STATE] == 0 && seen[1].object[STATE] == 1 && seen[2].object[STATE] == 0)
        return BYTE;
    if (same && *v[0] == 1 && *v[1] == 0 && *v[2] == 1)
        return VALUE_BEHIND;
    if (same && (*v[0] & 255) == 0 && (*v[1] & 255) == 1 && (*v[2] & 255) == 0)
        return BYTE_BEHIND;
    return NOWHERE;
}

/* The offset of the word that is this thread's ident while the lock is taken; 0: none. */
static size_t owner_of(const struct seen *seen, size_t size)
{
    for (size_t at = STATE; at + sizeof(unsigned long) <= size; at += sizeof(unsigned long)) {
        unsigned long word[3];

        for (int i = 0; i < 3; i++)
            memcpy(&word[i], seen[i].object + at, sizeof word[i]);
        if (word[0] == 0 && word[1] == PyThread_get_thread_ident() && word[2] == 0)
            return at;
    }
    return 0;
}

static bool learn(enum kind kind, PyObject *lock)
{
    const size_t size = (size_t)Py_TYPE(lock)->tp_basicsize;
    struct seen seen[3];

    if (size < STATE + sizeof(void *) || size > sizeof seen[0].object)
        return false;
    look(lock, size, &seen[0]);
    if (!call_method(lock, "acquire"))
        return false;
    look(lock, size, &seen[1]);
    if (!call_method(lock, "release"))
        return false;
    look(lock, size, &seen[2]);
    shapes[kind].place = place_of(seen);
    shapes[kind].owner = owner_of(seen, size);
    return shapes[kind].place != NOWHERE && (kind != RLOCK || shapes[kind].owner != 0);
}

/* ---- in and out ---- */

static void hook(enum method method)
{
    PyMethodDef *definition = methods[method].definition;

    if (methods[method].in || definition == NULL)
        return; /* still in somebody's chain */
    methods[method].original = definition->ml_meth;
    definition->ml_meth = rows[method].hooks[signature_of(definition)];
    methods[method].in = true;
}

static void unhook(enum method method)
{
    PyMethodDef *definition = methods[method].definition;

    if (!methods[method].in ||
        definition->ml_meth != rows[method].hooks[signature_of(definition)])
        return;
    definition->ml_meth = methods[method].original;
    methods[method].in = false;
}

/* What multiprocessing's locks are made of; NULL where they can't be had. Its name goes at
 * once. */
static PyObject *make_semlock(void)
{
    PyObject *module = PyImport_ImportModule("_multiprocessing"), *lock = NULL;
    char name[32];

    snprintf(name, sizeof name, "/cprof-%ld", (long)getpid());
    if (module != NULL)
        lock = PyObject_CallMethod(module, "SemLock", "iiisi", 1, 1, 1, name, 1);
    PyErr_Clear();
    Py_XDECREF(module);
    return lock;
}

/* New references: a lock and an RLock, and a SemLock or NULL. */
static bool make_locks(PyObject **locks)
{
    PyObject *module = PyImport_ImportModule("_thread");

    locks[LOCK] = locks[RLOCK] = locks[SEMLOCK] = NULL;
    if (module == NULL)
        return false;
    locks[SEMLOCK] = make_semlock();
    locks[LOCK] = PyObject_CallMethod(module, "allocate_lock", NULL);
    if (locks[LOCK] != NULL)
        locks[RLOCK] = PyObject_CallMethod(module, "RLock", NULL);
    Py_DECREF(module);
    return locks[RLOCK] != NULL;
}

static bool hooks_in(void)
{
    PyObject *locks[KINDS];
    bool known = make_locks(locks);

    if (known) {
        const bool shared = locks[SEMLOCK] != NULL && learn(SEMLOCK, locks[SEMLOCK]);
        PyTypeObject *const types[KINDS] = {Py_TYPE(locks[LOCK]), Py_TYPE(locks[RLOCK]),
                                            shared ? Py_TYPE(locks[SEMLOCK]) : NULL};

        known = find_all(types) && learn(LOCK, locks[LOCK]) && learn(RLOCK, locks[RLOCK]);
    }
    PyErr_Clear();
    for (enum kind kind = 0; kind < KINDS; kind++)
        Py_XDECREF(locks[kind]);
    for (enum method method = 0; known && method < METHOD_COUNT; method++)
        hook(method);
    return known;
}

int locks_open(const char **why)
{
    PyGILState_STATE held;

    if (opened)
        return 0; /* in the child of a fork, where nobody may have the GIL to give */
    held = PyGILState_Ensure();
    opened = hooks_in();
    if (opened)
        task_locks_open();
    PyGILState_Release(held);
    if (!opened)
        *why = "the locks of this Python are not as expected";
    else if (!gil_open())
        cprof_say("lock and blame: waits for the GIL are not counted, as this Python calls "
                  "pthread_cond_timedwait in another way than known");
    return opened ? 0 : -ENOTSUP;
}

/* Without the GIL: a hook that is still called goes on to the original. */
void locks_close(void)
{
    opened = false;
    gil_close();
    task_locks_close();
    for (enum method method = 0; method < METHOD_COUNT; method++)
        unhook(method);
}

void locks_child(void)
{
    cprof_waiters_child();
    gil_child();
}

#endif
