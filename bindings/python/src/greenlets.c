#include "greenlets.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define PY_SSIZE_T_CLEAN
#define Py_BUILD_CORE 1
#include <Python.h>
#include <internal/pycore_interp.h>
#include <internal/pycore_runtime.h>
#if PY_VERSION_HEX >= 0x030D0000
#include <internal/pycore_ceval_state.h>
#endif
#include <frameobject.h>

#include "asleep.h"
#include "copies.h"
#include "cprof/addresses.h"
#include "cprof/readable.h"
#include "walk.h"

#if defined(WALK_UNSUPPORTED) || defined(Py_GIL_DISABLED)

void greenlets_learn(void)
{
}

void greenlets_met(void)
{
}

void greenlets_drained(void)
{
}

void greenlets_each(bool (*each)(void *closure, const struct cprof_task *task), void *closure)
{
    (void)each, (void)closure;
}

void greenlets_count(struct cprof_population *population)
{
    (void)population;
}

void greenlets_fork_lock(void)
{
}

void greenlets_fork_unlock(void)
{
}

#else

#define WALK_WITHOUT_AWAITERS
#include "walk_chain.h"

enum {
    FRAMES_MAX = 256, /* of one greenlet */
    WORDS = 48,       /* of its insides that are looked through */
};

/* How a greenlet begins (greenlet.h, of 2.0 and later). */
struct greenlet {
    PyObject_HEAD;
    PyObject *weakrefs, *dict;
    void **inside; /* whose second word leads back */
};

/* Where things are in that, in words. Written once, before `known`. */
static struct {
    _Atomic bool known;
    size_t frame;   /* the innermost frame of one that is suspended */
    size_t context; /* its contextvars.Context */
} layout;

/* ---- which there are ---- */

static struct cprof_addresses all = CPROF_ADDRESSES_INIT;

void greenlets_fork_lock(void)
{
    cprof_addresses_lock(&all);
}

void greenlets_fork_unlock(void)
{
    cprof_addresses_unlock(&all);
}

static void note(const void *greenlet)
{
    cprof_addresses_add(&all, (uintptr_t)greenlet);
}

/* ---- the type's functions ---- */

static PyTypeObject *type; /* greenlet's; NULL: not followed */
static newfunc original_new;
static destructor original_free;
static PyObject *get_current;
static const PyThreadState *last_thread; /* whose main greenlet is noted */

/* The main greenlet of the calling thread is made by other means than the type's. */
static void note_main(void)
{
    PyObject *at = PyObject_CallNoArgs(get_current);

    while (at != NULL && at != Py_None) {
        PyObject *parent = PyObject_GetAttrString(at, "parent");
        if (parent == Py_None)
            note(at);
        Py_DECREF(at);
        at = parent;
    }
    Py_XDECREF(at);
}

static PyObject *new_noted(PyTypeObject *subtype, PyObject *arguments, PyObject *keywords)
{
    PyObject *made = original_new(subtype, arguments, keywords);
    PyObject *error[3];

    if (made == NULL)
        return NULL;
    note(made);
    if (last_thread != PyThreadState_Get()) {
        last_thread = PyThreadState_Get();
        PyErr_Fetch(&error[0], &error[1], &error[2]);
        note_main();
        PyErr_Restore(error[0], error[1], error[2]);
    }
    return made;
}

static void free_noted(PyObject *self)
{
    cprof_addresses_remove(&all, (uintptr_t)self);
    original_free(self);
}

/* Types that were derived before have a copy of it. */
static void replace_new(PyTypeObject *of, int depth)
{
    PyObject *derived = PyObject_CallMethod((PyObject *)of, "__subclasses__", NULL);

    if (of->tp_new == original_new)
        of->tp_new = new_noted;
    for (Py_ssize_t i = 0; derived != NULL && depth > 0 && i < PyList_GET_SIZE(derived); i++)
        replace_new((PyTypeObject *)PyList_GET_ITEM(derived, i), depth - 1);
    Py_XDECREF(derived);
    PyErr_Clear();
}

static void follow(void)
{
    enum { DEPTH = 16 };

    original_new = type->tp_new;
    original_free = type->tp_dealloc;
    type->tp_dealloc = free_noted;
    replace_new(type, DEPTH);
}

static void note_old(void)
{
    PyObject *collector = PyImport_ImportModule("gc");
    PyObject *objects =
        collector != NULL ? PyObject_CallMethod(collector, "get_objects", NULL) : NULL;
    const Py_ssize_t count =
        objects != NULL && PyList_Check(objects) ? PyList_GET_SIZE(objects) : 0;

    for (Py_ssize_t i = 0; i < count; i++)
        if (PyObject_TypeCheck(PyList_GET_ITEM(objects, i), type))
            note(PyList_GET_ITEM(objects, i));
    Py_XDECREF(objects);
    Py_XDECREF(collector);
    PyErr_Clear();
}

/* ---- where it keeps its frames ---- */

static const char trial[] = "def probe(switch, greenlet):\n"
                            "    def suspend(): switch()\n"
                            "    made = [greenlet(suspend), greenlet(suspend)]\n"
                            "    for each in made: each.switch()\n"
                            "    return made\n";

/* Two greenlets that are suspended. NULL, maybe with an exception. */
static PyObject *make_trial(void)
{
    PyObject *names = PyDict_New(), *made = NULL;
    PyObject *current = PyObject_CallNoArgs(get_current);
    PyObject *back = current != NULL ? PyObject_GetAttrString(current, "switch") : NULL;
    PyObject *done = NULL;

    if (names != NULL && back != NULL &&
        PyDict_SetItemString(names, "__builtins__", PyEval_GetBuiltins()) == 0)
        done = PyRun_String(trial, Py_file_input, names, names);
    PyObject *probe = done != NULL ? PyDict_GetItemString(names, "probe") : NULL;
    if (probe != NULL)
        made = PyObject_CallFunctionObjArgs(probe, back, (PyObject *)type, NULL);
    Py_XDECREF(done);
    Py_XDECREF(back);
    Py_XDECREF(current);
    Py_XDECREF(names);
    return made;
}

/* The one word of its insides that is what the attribute says; 0: none, or several. */
static size_t word_of(PyObject *greenlet, const char *attribute)
{
    void *const *inside = ((const struct greenlet *)greenlet)->inside;
    PyObject *value = PyObject_GetAttrString(greenlet, attribute);
    void *words[WORDS];
    size_t found = 0, matches = 0;

    if (value != NULL && value != Py_None &&
        cprof_read_all(words, (uintptr_t)inside, sizeof words) && words[1] == greenlet)
        for (size_t i = 2; i < WORDS; i++)
            if (words[i] == value) {
                found = i;
                matches++;
            }
    Py_XDECREF(value);
    return matches == 1 ? found : 0;
}

/* Where its context is can also be read where nobody has given it one: before the frame. */
static void learn_layout(void)
{
    PyObject *made =
        type->tp_basicsize >= (Py_ssize_t)sizeof(struct greenlet) ? make_trial() : NULL;
    size_t frames[2] = {0};

    for (Py_ssize_t i = 0; made != NULL && i < 2; i++)
        frames[i] = word_of(PyList_GET_ITEM(made, i), "gr_frame");
    PyErr_Clear();
    if (frames[0] > 2 && frames[0] == frames[1]) {
        layout.frame = frames[0];
        layout.context = frames[0] - 1;
        atomic_store_explicit(&layout.known, true, memory_order_release);
    }
    Py_XDECREF(made);
    PyErr_Clear();
}

/* ---- beginning ---- */

static bool begun; /* with the GIL */
static _Atomic bool met, asked;

static bool find_type(void)
{
    PyObject *module = PyDict_GetItemString(PyImport_GetModuleDict(), "greenlet");
    PyObject *found = module != NULL ? PyObject_GetAttrString(module, "greenlet") : NULL;

    get_current = found != NULL ? PyObject_GetAttrString(module, "getcurrent") : NULL;
    if (get_current == NULL || !PyType_Check(found)) {
        Py_CLEAR(get_current);
        Py_XDECREF(found);
        return false;
    }
    type = (PyTypeObject *)found; /* for good */
    return true;
}

void greenlets_learn(void)
{
    PyObject *error[3];

    PyErr_Fetch(&error[0], &error[1], &error[2]);
    if (!begun && find_type()) {
        begun = true;
        learn_layout();
        if (atomic_load(&layout.known)) {
            follow();
            note_old();
        }
    }
    PyErr_Clear();
    PyErr_Restore(error[0], error[1], error[2]);
}

static int learn(void *unused)
{
    (void)unused;
    greenlets_learn();
    return 0;
}

void greenlets_met(void)
{
    atomic_store_explicit(&met, true, memory_order_relaxed);
}

void greenlets_drained(void)
{
    if (!atomic_load_explicit(&met, memory_order_relaxed) || atomic_exchange(&asked, true))
        return;
    if (Py_AddPendingCall(learn, NULL) != 0)
        atomic_store(&asked, false);
}

/* ---- reading ---- */

/* Links of the chain without what there is on the native stack of eval calls: that of a
 * greenlet that is suspended lies elsewhere. greenlet links the frames past it. */
#if PY_VERSION_HEX < 0x030B0000

static const void *innermost(const PyFrameObject *frame, struct readable *memory)
{
    (void)memory;
    return frame;
}

static bool read_link(const struct chain *chain, struct raw_frame *raw, struct readable *memory)
{
    const PyFrameObject *frame = seen(memory, chain->frame, sizeof *frame);

    if (frame == NULL)
        return false;
    *raw =
        (struct raw_frame){.older = frame->f_back,
                           .code = (uintptr_t)frame->f_code,
                           .offset = (int64_t)frame->f_lasti * (int64_t)sizeof(_Py_CODEUNIT)};
    return true;
}

#else

static const void *innermost(const PyFrameObject *frame, struct readable *memory)
{
    const PyFrameObject *copy = seen(memory, frame, sizeof *copy);

    return copy != NULL && copy->ob_base.ob_type == &PyFrame_Type ? copy->f_frame : NULL;
}

static bool read_link(struct chain *chain, struct raw_frame *raw, struct readable *memory)
{
#if PY_VERSION_HEX >= 0x030C0000
    return chain_read(chain, raw, memory);
#else
    const _PyInterpreterFrame *frame = seen(memory, chain->frame, sizeof *frame);

    if (frame != NULL)
        *raw = function_frame(frame);
    return frame != NULL;
#endif
}

#endif

/* Innermost first. Returns how many. */
static size_t read_frames(uintptr_t frame, struct cprof_frame frames[FRAMES_MAX],
                          struct readable *memory)
{
    struct chain chain = {.frame = innermost((const PyFrameObject *)frame, memory)};
    size_t count = 0, links = link_limit(FRAMES_MAX);

    for (; chain.frame != NULL && count < FRAMES_MAX && links > 0; links--) {
        struct raw_frame raw;
        if (!read_link(&chain, &raw, memory))
            break;
        if (raw.code != 0)
            frames[count++] = python_frame(&raw);
        chain.frame = raw.older;
    }
    return count;
}

static void read_context(uintptr_t address, struct cprof_context *context,
                         struct readable *memory)
{
    const PyObject *head =
        address != 0 ? seen(memory, (const void *)address, sizeof *head) : NULL;

    if (head == NULL || Py_TYPE(head) != &PyContext_Type ||
        !asleep_read_variables((const void *)address, context, memory))
        *context = (struct cprof_context){0};
}

/* False: no more are wanted. One that runs, has not begun or has ended has no frame. */
static bool show(uintptr_t greenlet, struct readable *memory,
                 bool (*each)(void *closure, const struct cprof_task *task), void *closure)
{
    struct cprof_frame frames[FRAMES_MAX];
    struct cprof_task task = {
        .kind = CPROF_GREENLET, .id = greenlet, .name = "", .frames = frames, .waits = true};
    const struct greenlet *head = seen(memory, (const void *)greenlet, sizeof *head);
    const uintptr_t *inside =
        head != NULL ? seen(memory, head->inside, WORDS * sizeof *inside) : NULL;

    if (inside == NULL || inside[1] != greenlet || inside[layout.frame] == 0)
        return true;
    const uintptr_t context = inside[layout.context];
    task.count = read_frames(inside[layout.frame], frames, memory);
    read_context(context, &task.context, memory);
    return task.count == 0 || each(closure, &task);
}

static bool read_copy(const struct cprof_sleeper *reader, uintptr_t from, void *to, size_t size)
{
    (void)reader;
    return cprof_read_all(to, from, size);
}

void greenlets_each(bool (*each)(void *closure, const struct cprof_task *task), void *closure)
{
    const struct cprof_sleeper reader = {.read = read_copy};
    struct readable memory;
    size_t count = 0;
    uintptr_t *copy = atomic_load_explicit(&layout.known, memory_order_acquire)
                          ? cprof_addresses_copy(&all, &count)
                          : NULL;

    copies_begin(&memory, &reader);
    for (size_t i = 0; i < count && show(copy[i], &memory, each, closure); i++)
        continue;
    free(copy);
}

void greenlets_count(struct cprof_population *population)
{
    if (atomic_load_explicit(&layout.known, memory_order_acquire))
        population->greenlets = (int64_t)cprof_addresses_count(&all);
}

#endif
