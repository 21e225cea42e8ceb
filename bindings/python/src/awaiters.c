#include "awaiters.h"

#include "tasks.h"
#include "turns.h"
#include "walk.h"

struct awaiters awaiters;

#ifdef WALK_UNSUPPORTED

void awaiters_drained(void)
{
}

#else

static _Atomic bool asked;

/* While the program is importing it, functions that are to be known may not be there yet. */
static bool is_imported(PyObject *package)
{
    PyObject *spec = PyObject_GetAttrString(package, "__spec__");
    PyObject *begun = spec != NULL ? PyObject_GetAttrString(spec, "_initializing") : NULL;
    const bool whole = begun == NULL || PyObject_IsTrue(begun) == 0;

    PyErr_Clear();
    Py_XDECREF(begun);
    Py_XDECREF(spec);
    return whole;
}

PyObject *awaiters_asyncio(void)
{
    PyObject *modules = PyImport_GetModuleDict();
    PyObject *package = PyDict_GetItemString(modules, "asyncio");

    return package != NULL && is_imported(package) ? PyDict_GetItemString(modules, "_asyncio")
                                                   : NULL;
}

/* [GIL] Tasks are what asyncio's C code makes, or else there is nothing to be learnt. A program
 * may use coroutines without asyncio for as long as it likes: that is asked again. */
static int learn(void *unused)
{
    (void)unused;
    if (awaiters_asyncio() != NULL) {
        tasks_learn();
        turns_learn();
        return 0;
    }
    atomic_store(&awaiters.met, false);
    atomic_store(&asked, false);
    return 0;
}

void awaiters_drained(void)
{
    if (!atomic_load_explicit(&awaiters.met, memory_order_relaxed) ||
        atomic_exchange(&asked, true))
        return;
    if (Py_AddPendingCall(learn, NULL) != 0)
        atomic_store(&asked, false);
}

#endif
