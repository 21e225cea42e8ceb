#include "share.h"

#include <stdbool.h>

#include "cprof/context.h"
#include "labels.h"
#include "spans.h"

/* ---- is every switch seen? ---- */

/* Works with an exception set, as the interpreter switches contexts with one, too. */
static bool greenlet_is_loaded(void)
{
    static PyObject *name;

    if (name == NULL)
        name = PyUnicode_InternFromString("greenlet");
    return name == NULL || PyDict_GetItemWithError(PyImport_GetModuleDict(), name) != NULL;
}

#if PY_VERSION_HEX >= 0x030E0000

static int watcher = -1;

static int switched(PyContextEvent event, PyObject *context)
{
    (void)event, (void)context;
    share_current();
    return 0;
}

static void watch(void)
{
    if (watcher < 0)
        watcher = PyContext_AddWatcher(switched);
    PyErr_Clear(); /* of all being taken: then nothing is shared */
}

static void unwatch(void)
{
    if (watcher >= 0)
        PyContext_ClearWatcher(watcher);
    PyErr_Clear();
    watcher = -1;
}

static bool tasks_switch_unseen(void)
{
    return watcher < 0;
}

#else

static void watch(void)
{
}
static void unwatch(void)
{
}

static PyObject *running_loop; /* asyncio's function; NULL until it is loaded */

static bool tasks_switch_unseen(void)
{
    PyObject *events, *loop;
    bool runs;

    if (running_loop == NULL) {
        events = PyDict_GetItemString(PyImport_GetModuleDict(), "asyncio.events");
        if (events == NULL)
            return false;
        running_loop = PyObject_GetAttrString(events, "_get_running_loop");
    }
    loop = running_loop != NULL ? PyObject_CallNoArgs(running_loop) : NULL;
    runs = loop != Py_None;
    Py_XDECREF(loop);
    PyErr_Clear();
    return runs;
}

#endif

void share_open(void)
{
    watch();
}

void share_close(void)
{
    unwatch();
    cprof_context_detach();
}

/* ---- telling ---- */

static void tell(void)
{
    const struct span_state *state = spans_current();
    const struct label_set *labels = labels_current();
    const bool known = state != NULL && state->kind == SPAN_KNOWN;

    if ((!known && labels == NULL) || greenlet_is_loaded() || tasks_switch_unseen())
        cprof_context_detach();
    else
        cprof_context_attach(known ? &state->ids : NULL,
                             labels != NULL ? labels->attributes : NULL,
                             labels != NULL ? labels->attributes_size : 0);
}

void share_current(void)
{
    if (cprof_context_shared())
        tell();
}
