/* Before 3.14 asyncio's layout is its own: it is found by trying. */
#define Py_BUILD_CORE 1
#include "awaiters.h"

#include "walk.h"

#if PY_VERSION_HEX < 0x030E0000 && !defined(WALK_UNSUPPORTED)

#include <string.h>
#include <structmember.h>

#include "objects_310.h"

/* Which of asyncio's functions makes the callback, and which variable of it is the future that
 * the callback finishes. */
static const struct {
    const char *function, *callback, *variable;
} closures[AWAITERS_CLOSURES] = {
    {"gather", "_done_callback", "outer"},
    {"shield", "_inner_done_callback", "outer"},
    {"_wait", "_on_completion", "waiter"},
};

/* Where in an object, behind its head, a pointer is; 0: nowhere, or in more than one place. */
static uint32_t place_of(const PyObject *object, Py_ssize_t size, const void *pointer)
{
    const char *bytes = (const char *)object;
    uint32_t found = 0;

    for (uint32_t at = sizeof(PyObject); at + sizeof pointer <= (size_t)size;
         at += sizeof pointer)
        if (memcmp(bytes + at, &pointer, sizeof pointer) == 0) {
            if (found != 0)
                return 0;
            found = at;
        }
    return found;
}

static PyTypeObject *type_in(PyObject *module, const char *name)
{
    PyObject *type = PyObject_GetAttrString(module, name);

    if (type != NULL && !PyType_Check(type))
        Py_CLEAR(type);
    return (PyTypeObject *)type;
}

/* Borrowed; NULL: the program has not imported it. */
static PyObject *loaded(const char *module)
{
    return PyDict_GetItemString(PyImport_GetModuleDict(), module);
}

/* ---- things to try on ---- */

/* An event loop, as far as what is made for it asks: is it in debug mode, and it is to call a
 * task's first step, which it never does. */
static PyObject *make_loop(void)
{
    PyObject *types = loaded("types"), *functools = loaded("functools");
    PyObject *type = types != NULL ? PyObject_GetAttrString(types, "SimpleNamespace") : NULL;
    PyTypeObject *partial = functools != NULL ? type_in(functools, "partial") : NULL;
    PyObject *nothing = PyTuple_New(0), *answers = NULL, *loop = NULL;

    if (type != NULL && partial != NULL)
        answers = Py_BuildValue("{sOsO}", "get_debug", &PyBool_Type, "call_soon",
                                (PyObject *)partial);
    if (nothing != NULL && answers != NULL)
        loop = PyObject_Call(type, nothing, answers);
    Py_XDECREF(answers);
    Py_XDECREF(nothing);
    Py_XDECREF(partial);
    Py_XDECREF(type);
    return loop;
}

static PyObject *make_future(PyObject *loop)
{
    PyObject *nothing = PyTuple_New(0), *keywords = Py_BuildValue("{sO}", "loop", loop);
    PyObject *future = NULL;

    if (nothing != NULL && keywords != NULL)
        future = PyObject_Call((PyObject *)awaiters.future, nothing, keywords);
    Py_XDECREF(keywords);
    Py_XDECREF(nothing);
    return future;
}

/* A coroutine that never begins. */
static PyObject *make_coroutine(void)
{
    PyObject *module = Py_CompileString("async def nothing(): pass", "<cprof>", Py_file_input);
    PyObject *constants = module != NULL ? PyObject_GetAttrString(module, "co_consts") : NULL;
    PyObject *code = constants != NULL ? PyTuple_GET_ITEM(constants, 0) : NULL;
    PyObject *globals = PyDict_New(), *function = NULL, *coroutine = NULL;

    if (code != NULL && PyCode_Check(code) && globals != NULL)
        function = PyFunction_New(code, globals);
    if (function != NULL)
        coroutine = PyObject_CallNoArgs(function);
    Py_XDECREF(function);
    Py_XDECREF(globals);
    Py_XDECREF(constants);
    Py_XDECREF(module);
    return coroutine;
}

/* Its name is given, as those that are not are numbered. */
static PyObject *make_task(PyObject *loop, PyObject *coroutine)
{
    PyObject *arguments = Py_BuildValue("(O)", coroutine), *task = NULL;
    PyObject *keywords = Py_BuildValue("{sOss}", "loop", loop, "name", "cprof");

    if (arguments != NULL && keywords != NULL)
        task = PyObject_Call((PyObject *)awaiters.task, arguments, keywords);
    Py_XDECREF(keywords);
    Py_XDECREF(arguments);
    return task;
}

/* Without the complaints that something was never awaited. */
static void end_task(PyObject *task, PyObject *coroutine)
{
    PyObject *none;

    PyErr_Clear();
    none = coroutine != NULL ? PyObject_CallMethod(coroutine, "close", NULL) : NULL;
    Py_XDECREF(none);
    if (task != NULL)
        PyObject_SetAttrString(task, "_log_destroy_pending", Py_False);
    Py_XDECREF(task);
    Py_XDECREF(coroutine);
}

/* ---- futures ---- */

static bool add_callback(PyObject *future, PyObject *callback)
{
    PyObject *none = PyObject_CallMethod(future, "add_done_callback", "O", callback);

    Py_XDECREF(none);
    return none != NULL;
}

static int note_list(PyObject *referent, void *list)
{
    if (PyList_CheckExact(referent))
        *(PyObject **)list = referent;
    return 0;
}

/* [callback] */
static bool is_only_callback(const PyObject *list, const PyObject *callback)
{
    const PyObject *pair = PyList_GET_SIZE(list) == 1 ? PyList_GET_ITEM(list, 0) : NULL;

    return pair != NULL && PyTuple_CheckExact(pair) && PyTuple_GET_SIZE(pair) == 2 &&
           PyTuple_GET_ITEM(pair, 0) == callback;
}

/* Two callbacks, which nobody calls: the future has no end. */
static bool learn_callbacks(PyTypeObject *type, PyObject *future, PyObject *first,
                            PyObject *second)
{
    PyObject *list = NULL;

    if (place_of(future, type->tp_basicsize, first) != 0 || !add_callback(future, first))
        return false;
    awaiters.callback = place_of(future, type->tp_basicsize, first);
    if (!add_callback(future, second) || type->tp_traverse == NULL)
        return false;
    type->tp_traverse(future, note_list, &list);
    if (list == NULL || !is_only_callback(list, second))
        return false;
    awaiters.callbacks = place_of(future, type->tp_basicsize, list);
    return awaiters.callback != 0 && awaiters.callbacks != 0 &&
           place_of(future, type->tp_basicsize, first) == awaiters.callback;
}

static bool learn_future(PyObject *loop)
{
    PyObject *future = make_future(loop);
    PyObject *first = PySet_New(NULL), *second = PySet_New(NULL);
    bool good = future != NULL && first != NULL && second != NULL &&
                learn_callbacks(Py_TYPE(future), future, first, second);

    Py_XDECREF(second);
    Py_XDECREF(first);
    Py_XDECREF(future);
    return good;
}

/* ---- tasks ---- */

/* Would the handler find the task that runs? */
static bool is_found(PyObject *task)
{
    struct readable memory = {0};
    PyDictKeyEntry entry = {0};
    PyObject *running = PyDict_New(), *key = PyBytes_FromString("loop");
    bool found = running != NULL && key != NULL && PyDict_SetItem(running, key, task) == 0 &&
                 dict_entries((PyDictObject *)running, &entry, 1, &memory) == 1 &&
                 entry.me_value == task;

    Py_XDECREF(key);
    Py_XDECREF(running);
    return found;
}

static bool learn_task(PyObject *loop)
{
    PyObject *coroutine = make_coroutine();
    PyObject *task = coroutine != NULL ? make_task(loop, coroutine) : NULL;

    if (task != NULL && is_found(task))
        awaiters.coroutine = place_of(task, awaiters.task->tp_basicsize, coroutine);
    PyObject *name = task != NULL ? PyObject_CallMethod(task, "get_name", NULL) : NULL;
    if (name != NULL)
        awaiters.name = place_of(task, awaiters.task->tp_basicsize, name);
    Py_XDECREF(name);
    end_task(task, coroutine);
    return awaiters.coroutine != 0;
}

/* ---- what finishes a future ---- */

/* The code of a function inside a function, whose variable `name` is the cell-th of those of
 * the outer one; NULL: there is none. */
static PyObject *inner_code(PyObject *code, const char *function, const char *name,
                            uint32_t *cell)
{
    PyObject *constants = PyObject_GetAttrString(code, "co_consts"), *found = NULL;

    for (Py_ssize_t i = 0; constants != NULL && i < PyTuple_GET_SIZE(constants); i++) {
        PyObject *inner = PyTuple_GET_ITEM(constants, i);
        PyObject *variables =
            PyCode_Check(inner) && PyUnicode_CompareWithASCIIString(
                                       ((PyCodeObject *)inner)->co_name, function) == 0
                ? PyObject_GetAttrString(inner, "co_freevars")
                : NULL;
        for (Py_ssize_t j = 0; variables != NULL && j < PyTuple_GET_SIZE(variables); j++)
            if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(variables, j), name) == 0) {
                found = inner;
                *cell = (uint32_t)j;
            }
        Py_XDECREF(variables);
    }
    Py_XINCREF(found);
    Py_XDECREF(constants);
    return found;
}

static void learn_closures(PyObject *tasks)
{
    for (unsigned i = 0; i < AWAITERS_CLOSURES; i++) {
        PyObject *function = PyObject_GetAttrString(tasks, closures[i].function);
        if (function != NULL && PyFunction_Check(function))
            awaiters.closures[i].code =
                inner_code(PyFunction_GET_CODE(function), closures[i].callback,
                           closures[i].variable, &awaiters.closures[i].cell);
        Py_XDECREF(function);
        PyErr_Clear();
    }
}

/* The offset of an attribute that is a field of its object; 0: it is none. */
static uint32_t field_offset(PyTypeObject *type, const char *name)
{
    PyObject *member = PyObject_GetAttrString((PyObject *)type, name);
    uint32_t offset = 0;

    if (member != NULL && Py_TYPE(member) == &PyMemberDescr_Type)
        offset = (uint32_t)((PyMemberDescrObject *)member)->d_member->offset;
    Py_XDECREF(member);
    return offset;
}

static void learn_partial(PyObject *tasks)
{
    PyObject *functools = loaded("functools");
    PyTypeObject *type = functools != NULL ? type_in(functools, "partial") : NULL;
    PyObject *release = PyObject_GetAttrString(tasks, "_release_waiter");

    PyErr_Clear();
    if (type != NULL && release != NULL) {
        awaiters.partial.function = field_offset(type, "func");
        awaiters.partial.arguments = field_offset(type, "args");
    }
    if (awaiters.partial.function != 0 && awaiters.partial.arguments != 0) {
        awaiters.partial.release = release;
        awaiters.partial.type = type;
        return;
    }
    Py_XDECREF(release);
    Py_XDECREF(type);
}

#if PY_VERSION_HEX >= 0x030B0000

/* Which of its attributes a group's task is: of a group that is like all others. */
static bool learn_parent(PyObject *group)
{
    enum { ATTRIBUTES_MAX = 8 };
    struct readable memory = {0};
    PyObject *marker = PyList_New(0);
    PyObject *const *values;
    bool found = false;

    if (marker == NULL || PyObject_SetAttrString(group, "_parent_task", marker) != 0) {
        Py_XDECREF(marker);
        return false;
    }
    values = instance_values(group, &memory);
    for (uint32_t i = 0; values != NULL && !found && i < ATTRIBUTES_MAX; i++) {
        found = values[i] == marker;
        awaiters.group.parent = i;
    }
    Py_DECREF(marker);
    return found;
}

static void learn_group(void)
{
    PyObject *module = loaded("asyncio.taskgroups");
    PyTypeObject *type = module != NULL ? type_in(module, "TaskGroup") : NULL;
    PyObject *done =
        type != NULL ? PyObject_GetAttrString((PyObject *)type, "_on_task_done") : NULL;
    PyObject *group = done != NULL ? PyObject_CallNoArgs((PyObject *)type) : NULL;

    if (group != NULL && Py_TYPE(group) == type && learn_parent(group)) {
        awaiters.group.done = done;
        awaiters.group.type = type;
        Py_INCREF(done);
        Py_INCREF(type);
    }
    Py_XDECREF(group);
    Py_XDECREF(done);
    Py_XDECREF(type);
}

#else

static void learn_group(void)
{
}

#endif

/* ---- all ---- */

static bool learn_types(PyObject *module)
{
    PyObject *running = PyObject_GetAttrString(module, "_current_tasks");

    awaiters.future = type_in(module, "Future");
    awaiters.task = type_in(module, "Task");
    if (running == NULL || !PyDict_CheckExact(running) || awaiters.future == NULL ||
        awaiters.task == NULL ||
        !PyType_IsSubtype((PyTypeObject *)awaiters.task, (PyTypeObject *)awaiters.future)) {
        Py_XDECREF(running);
        return false;
    }
    awaiters.running = (PyDictObject *)running;
    return true;
}

static void learn_the_rest(void)
{
    const uint32_t last =
        awaiters.callbacks > awaiters.callback ? awaiters.callbacks : awaiters.callback;
    PyObject *tasks = loaded("asyncio.tasks");

    awaiters.size =
        (uint32_t)sizeof(PyObject *) + (last > awaiters.coroutine ? last : awaiters.coroutine);
    if (awaiters.name + sizeof(PyObject *) > awaiters.size)
        awaiters.size = awaiters.name + (uint32_t)sizeof(PyObject *);
    if (tasks != NULL) {
        learn_closures(tasks);
        learn_partial(tasks);
    }
    learn_group();
    atomic_store_explicit(&awaiters.known, true, memory_order_release);
}

void awaiters_learn(PyObject *module)
{
    PyObject *loop = make_loop();

    if (loop != NULL && learn_types(module) && learn_task(loop) && learn_future(loop))
        learn_the_rest();
    Py_XDECREF(loop);
}

#endif
