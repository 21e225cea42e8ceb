#include "qualnames.h"

#if PY_VERSION_HEX < 0x030B0000

#include <stdbool.h>
#include <stdlib.h>

#include <frameobject.h>

#include "graves.h"

/* Address of a code object → its qualified name; open addressing, a power of two of places, at
 * most half of them taken. Changed with the GIL and the graves' lock, so either suffices to
 * read it. When LIMIT is reached, newer code goes by its plain name. */
struct place {
    uintptr_t code; /* 0 = free */
    PyObject *name; /* owned */
};

enum { FIRST_PLACES = 4096, LIMIT = 1 << 19 };

static struct place *places;
static size_t place_count, taken;
static bool learning;

static size_t place_of(uintptr_t code)
{
    size_t i = (size_t)((code >> 4) * 0x9E3779B97F4A7C15u >> 20) & (place_count - 1);

    while (places[i].code != 0 && places[i].code != code)
        i = (i + 1) & (place_count - 1);
    return i;
}

const void *qualname_of(const PyCodeObject *code, uintptr_t address)
{
    const PyObject *name = place_count > 0 ? places[place_of(address)].name : NULL;

    return name != NULL ? (const void *)name : code->co_name;
}

static bool grow(void)
{
    struct place *old = places;
    const size_t old_count = place_count;
    struct place *new_places;

    if (2 * (taken + 1) <= place_count)
        return true;
    if (place_count == LIMIT)
        return false;
    new_places = calloc(old_count > 0 ? 2 * old_count : FIRST_PLACES, sizeof *places);
    if (new_places == NULL)
        return false;
    places = new_places;
    place_count = old_count > 0 ? 2 * old_count : FIRST_PLACES;
    for (size_t i = 0; i < old_count; i++)
        if (old[i].code != 0)
            places[place_of(old[i].code)] = old[i];
    free(old);
    return true;
}

/* Takes over the reference to name. */
static void remember(uintptr_t code, PyObject *name)
{
    graves_lock();
    if (grow() && places[place_of(code)].code == 0) {
        places[place_of(code)] = (struct place){.code = code, .name = name};
        taken++;
        name = NULL;
    }
    graves_unlock();
    Py_XDECREF(name);
}

void qualname_forget(uintptr_t code)
{
    size_t hole, i;

    if (place_count == 0 || places[hole = place_of(code)].code == 0)
        return;
    Py_DECREF(places[hole].name);
    places[hole] = (struct place){0};
    taken--;
    /* What was pushed past the hole by a collision moves back. */
    for (i = (hole + 1) & (place_count - 1); places[i].code != 0;
         i = (i + 1) & (place_count - 1)) {
        const struct place moved = places[i];
        places[i] = (struct place){0};
        places[place_of(moved.code)] = moved;
    }
}

static bool is_known(PyCodeObject *code)
{
    return place_count > 0 && places[place_of((uintptr_t)code)].code != 0;
}

/* The rule of CPython's compiler, but for names that a function declares global. */
static void learn_nested(PyCodeObject *parent, PyObject *parent_name)
{
    const bool in_function =
        (parent->co_flags & CO_NEWLOCALS) && (parent->co_flags & CO_OPTIMIZED);

    if (Py_EnterRecursiveCall(" while naming code") != 0) {
        PyErr_Clear();
        return;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(parent->co_consts); i++) {
        PyCodeObject *code = (PyCodeObject *)PyTuple_GET_ITEM(parent->co_consts, i);
        PyObject *name;

        if (!PyCode_Check(code))
            continue;
        name = parent_name == NULL
                   ? Py_NewRef(code->co_name)
                   : PyUnicode_FromFormat("%U%s.%U", parent_name,
                                          in_function ? ".<locals>" : "", code->co_name);
        if (name == NULL) {
            PyErr_Clear();
            break;
        }
        if (!is_known(code))
            remember((uintptr_t)code, Py_NewRef(name));
        learn_nested(code, name);
        Py_DECREF(name);
    }
    Py_LeaveRecursiveCall();
}

static void learn_function(PyFunctionObject *function)
{
    PyCodeObject *code = (PyCodeObject *)function->func_code;
    const Py_ssize_t length = PyUnicode_GET_LENGTH(function->func_qualname);

    /* functools.wraps() gives a wrapper the name of what it wraps: such a one is learned from
     * the function whose body holds it. */
    if (is_known(code) ||
        PyUnicode_Tailmatch(function->func_qualname, code->co_name, 0, length, 1) != 1)
        return;
    remember((uintptr_t)code, Py_NewRef(function->func_qualname));
    learn_nested(code, function->func_qualname);
}

/* Modules and scripts that are being run have bodies whose functions do not exist yet. */
static void learn_running(void)
{
    PyThreadState *state = PyInterpreterState_ThreadHead(PyInterpreterState_Get());

    for (; state != NULL; state = PyThreadState_Next(state))
        for (PyFrameObject *frame = state->frame; frame != NULL; frame = frame->f_back)
            if (!(frame->f_code->co_flags & CO_NEWLOCALS))
                learn_nested(frame->f_code, NULL);
}

static PyObject *get_objects; /* gc.get_objects */

int qualnames_init(void)
{
    PyObject *gc = PyImport_ImportModule("gc");

    if (gc != NULL)
        Py_XSETREF(get_objects, PyObject_GetAttrString(gc, "get_objects"));
    Py_XDECREF(gc);
    return gc != NULL && get_objects != NULL ? 0 : -1;
}

static int learn_existing(void)
{
    PyObject *objects;

    if (get_objects == NULL && qualnames_init() < 0)
        return -1;
    objects = PyObject_CallNoArgs(get_objects);
    if (objects == NULL)
        return -1;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(objects); i++) {
        PyObject *object = PyList_GET_ITEM(objects, i);
        if (PyFunction_Check(object))
            learn_function((PyFunctionObject *)object);
    }
    Py_DECREF(objects);
    return 0;
}

/* The interpreter announces every module, script and string of code that it is about to run
 * with the audit event "exec". */
static int code_announced(const char *event, PyObject *arguments, void *unused)
{
    PyObject *code;

    (void)unused;
    if (!learning || event[0] != 'e' || strcmp(event, "exec") != 0)
        return 0;
    if (!PyTuple_Check(arguments) || PyTuple_GET_SIZE(arguments) != 1)
        return 0;
    code = PyTuple_GET_ITEM(arguments, 0);
    if (PyCode_Check(code) && !is_known((PyCodeObject *)code))
        learn_nested((PyCodeObject *)code, NULL);
    return 0;
}

int qualnames_open(void)
{
    static bool hooked; /* audit hooks stay for the life of the process */

    learning = true;
    if (!hooked && PySys_AddAuditHook(code_announced, NULL) < 0)
        return -1;
    hooked = true;
    learn_running();
    return learn_existing();
}

void qualnames_close(void)
{
    learning = false;
    graves_lock();
    for (size_t i = 0; i < place_count; i++)
        Py_XDECREF(places[i].name);
    free(places);
    places = NULL;
    place_count = taken = 0;
    graves_unlock();
}

#endif
