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

/* [GIL] Tasks are what asyncio's C code makes, or else there is nothing to be learnt. A program
 * may use coroutines without asyncio for as long as it likes: that is asked again. */
static int learn(void *unused)
{
    PyObject *module = PyDict_GetItemString(PyImport_GetModuleDict(), "_asyncio");

    (void)unused;
    if (module != NULL) {
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
