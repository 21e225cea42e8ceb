#include "cfunctions.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "cprof/cprof.h"

enum {
    NAME_SIZE = 256,      /* longer names are left out */
    TEXT_LIMIT = 1 << 28, /* bytes of names: an index has to fit */
    DEEPEST = 200,        /* classes derived further than this are not looked at */
    SHARE = 50,           /* gathering may take 1/SHARE of the time */
    PATIENCE_MS = 500,    /* the collector is put off so long at most: samples wait meanwhile */
    GIVE_UP_MS = 20000,   /* by then the main thread has had its chance to gather */
};

struct cfunction {
    uintptr_t start; /* 0: the slot is empty */
    uint32_t name;   /* in text */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct cfunction *functions; /* open addressing, at most 3/4 full */
static size_t capacity, count;      /* of functions; a power of two, or 0 */
static char *text;                  /* names, each with its NUL */
static size_t text_used, text_size;

/* When to gather again. */
static PyObject *modules;        /* sys.modules; NULL: not open */
static Py_ssize_t known_modules; /* how many there were when last gathered */
static int64_t rest_until;       /* ns: no gathering before */
static int64_t missed_at;        /* ns: the first nameless function since; 0 = none */
static _Atomic bool asked;       /* a pending call is on its way */

void cfunctions_lock(void)
{
    pthread_mutex_lock(&lock);
}

void cfunctions_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

void cfunctions_child(void)
{
    atomic_store(&asked, false);
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- the map; all locked ---- */

/* The slot of a function, or the empty one where it would go. */
static struct cfunction *slot_of(struct cfunction *slots, size_t size, uintptr_t start)
{
    size_t i = (size_t)(start * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (size - 1);

    while (slots[i].start != 0 && slots[i].start != start)
        i = (i + 1) & (size - 1);
    return &slots[i];
}

static bool no_room(void)
{
    static bool told;

    if (!told)
        cprof_say("CPROF_MEMORY_LIMIT has no room for the names of all C functions: some of "
                  "stripped libraries are shown by their address");
    told = true;
    return false;
}

static bool make_slots(void)
{
    const size_t size = capacity != 0 ? capacity * 2 : 4096;
    struct cfunction *grown;

    if (count * 4 < capacity * 3)
        return true;
    grown = cprof_memory_take(size * sizeof *grown) ? calloc(size, sizeof *grown) : NULL;
    if (grown == NULL)
        return no_room();
    for (size_t i = 0; i < capacity; i++)
        if (functions[i].start != 0)
            *slot_of(grown, size, functions[i].start) = functions[i];
    free(functions);
    cprof_memory_give(capacity * sizeof *functions);
    functions = grown;
    capacity = size;
    return true;
}

static bool make_text(size_t length)
{
    const size_t size = text_size != 0 ? text_size * 2 : 65536;
    char *grown;

    if (text_used + length <= text_size)
        return true;
    grown =
        size <= TEXT_LIMIT && cprof_memory_take(size - text_size) ? realloc(text, size) : NULL;
    if (grown == NULL)
        return no_room();
    text = grown;
    text_size = size;
    return true;
}

static const char *last_part(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot != NULL ? dot + 1 : name;
}

static void add(uintptr_t start, const char *name)
{
    const size_t length = strlen(name) + 1;
    struct cfunction *slot;

    if (!make_slots())
        return;
    slot = slot_of(functions, capacity, start);
    if (slot->start == 0) {
        if (!make_text(length))
            return;
        *slot = (struct cfunction){.start = start, .name = (uint32_t)text_used};
        memcpy(text + text_used, name, length);
        text_used += length;
        count++;
    } else if (strcmp(text + slot->name, name) != 0) {
        const char *known = text + slot->name, *part = last_part(known);
        if (strcmp(part, last_part(name)) == 0)
            slot->name += (uint32_t)(part - known);
    }
}

/* ---- gathering; all with the GIL ---- */

/* The entry of `owner`, a type or module; "" for builtins. */
static void learn(void *function, const char *owner, const char *entry)
{
    char name[NAME_SIZE];

    if (function == NULL || entry == NULL)
        return;
    if (snprintf(name, sizeof name, "%s%s%s", owner, owner[0] != '\0' ? "." : "", entry) >=
        NAME_SIZE)
        return;
    cfunctions_lock();
    add((uintptr_t)function, name);
    cfunctions_unlock();
}

static void learn_methods(const PyMethodDef *method, const char *owner)
{
    for (; method != NULL && method->ml_name != NULL; method++)
        learn((void *)(uintptr_t)method->ml_meth, owner, method->ml_name);
}

static void learn_properties(const PyGetSetDef *property, const char *owner)
{
    for (; property != NULL && property->name != NULL; property++)
        learn((void *)(uintptr_t)property->get, owner, property->name);
}

static void learn_modules(void)
{
    PyObject *name, *module;
    Py_ssize_t at = 0;

    while (PyDict_Next(modules, &at, &name, &module)) {
        PyModuleDef *definition = PyModule_Check(module) ? PyModule_GetDef(module) : NULL;
        if (definition != NULL)
            learn_methods(definition->m_methods,
                          strcmp(definition->m_name, "builtins") ? definition->m_name : "");
    }
    PyErr_Clear();
}

/* The slots that a type fills itself are those that it has wrappers for; of __new__ the
 * wrapper is one for all. Classes written in Python have neither. */
static void learn_slots(PyTypeObject *type)
{
#if PY_VERSION_HEX >= 0x030C0000
    PyObject *dict = PyType_GetDict(type);
#else
    PyObject *dict = Py_XNewRef(type->tp_dict);
#endif
    PyObject *name, *value;
    Py_ssize_t at = 0;

    while (dict != NULL && PyDict_Next(dict, &at, &name, &value)) {
        if (Py_TYPE(value) == &PyWrapperDescr_Type && PyDescr_TYPE(value) == type) {
            const PyWrapperDescrObject *slot = (PyWrapperDescrObject *)value;
            learn(slot->d_wrapped, type->tp_name, slot->d_base->name);
        } else if (PyCFunction_Check(value) &&
                   strcmp(((PyCFunctionObject *)value)->m_ml->ml_name, "__new__") == 0) {
            learn((void *)(uintptr_t)type->tp_new, type->tp_name, "__new__");
        }
    }
    Py_XDECREF(dict);
}

/* A type and those derived from it, each by way of its first base only. */
static void learn_types(PyTypeObject *type, PyObject *subclasses_of, int depth)
{
    PyObject *derived;

    learn_methods(type->tp_methods, type->tp_name);
    learn_properties(type->tp_getset, type->tp_name);
    learn_slots(type);
    derived = depth < DEEPEST ? PyObject_CallOneArg(subclasses_of, (PyObject *)type) : NULL;
    for (Py_ssize_t i = 0; derived != NULL && i < PyList_GET_SIZE(derived); i++) {
        PyTypeObject *next = (PyTypeObject *)PyList_GET_ITEM(derived, i);
        if (next->tp_base == type)
            learn_types(next, subclasses_of, depth + 1);
    }
    Py_XDECREF(derived);
    PyErr_Clear();
}

static void gather(void)
{
    const int64_t begin = now_ns();
    PyObject *subclasses_of =
        PyObject_GetAttrString((PyObject *)&PyType_Type, "__subclasses__");

    atomic_store(&asked, false);
    cfunctions_lock();
    known_modules = PyDict_GET_SIZE(modules);
    missed_at = 0;
    cfunctions_unlock();
    learn_modules();
    if (subclasses_of != NULL)
        learn_types(&PyBaseObject_Type, subclasses_of, 0);
    Py_XDECREF(subclasses_of);
    PyErr_Clear();
    cfunctions_lock();
    rest_until = now_ns() + (now_ns() - begin) * SHARE;
    cfunctions_unlock();
}

void cfunctions_refresh(void)
{
    if (modules != NULL && atomic_load(&asked) &&
        PyInterpreterState_Get() == PyInterpreterState_Main())
        gather();
}

static int pending_call(void *unused)
{
    (void)unused;
    cfunctions_refresh();
    return 0;
}

void cfunctions_open(void)
{
#ifndef Py_GIL_DISABLED /* without a GIL the tables may change under our eyes */
    PyObject *now = PyImport_GetModuleDict();

    cfunctions_lock();
    modules = Py_NewRef(now);
    cfunctions_unlock();
    gather();
#endif
}

void cfunctions_close(void)
{
    PyObject *was;

    cfunctions_lock();
    was = modules;
    modules = NULL;
    cfunctions_unlock();
    Py_XDECREF(was);
}

/* ---- asking ---- */

/* [locked] What to tell of a function without a name: when modules came since the last
 * gathering the answer is worth waiting for, then worth asking for again. Nothing but the
 * number of modules is read without the GIL. */
static int unknown(void)
{
    const int64_t now = now_ns();

    if (modules == NULL ||
        __atomic_load_n(&((PyDictObject *)modules)->ma_used, __ATOMIC_RELAXED) == known_modules)
        return -ENOENT;
    if (missed_at == 0)
        missed_at = now;
    if (!atomic_load(&asked) && now >= rest_until) {
        atomic_store(&asked, true);
        if (Py_AddPendingCall(pending_call, NULL) < 0)
            atomic_store(&asked, false); /* the queue is full; next time */
    }
    return now < missed_at + PATIENCE_MS * INT64_C(1000000)  ? -EAGAIN
           : now < missed_at + GIVE_UP_MS * INT64_C(1000000) ? -EBUSY
                                                             : -ENOENT;
}

int cfunctions_name(uintptr_t start, char *name, size_t size)
{
    int result = -ENOENT;

    cfunctions_lock();
    if (capacity != 0) {
        const struct cfunction *slot = slot_of(functions, capacity, start);
        if (slot->start != 0) {
            snprintf(name, size, "%s", text + slot->name);
            result = 0;
        }
    }
    if (result != 0)
        result = unknown();
    cfunctions_unlock();
    return result;
}
