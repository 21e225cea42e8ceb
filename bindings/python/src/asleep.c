#include "asleep.h"

#include <string.h>

#define PY_SSIZE_T_CLEAN
#define Py_BUILD_CORE 1
#include <Python.h>
#include <internal/pycore_interp.h>
#include <internal/pycore_runtime.h>
#if PY_VERSION_HEX >= 0x030D0000
#include <internal/pycore_ceval_state.h>
#endif

#include "copies.h"
#include "gil.h"
#include "greenlets.h"
#include "tasks.h"
#include "walk.h"
#include "walk_context.h"

#ifdef WALK_UNSUPPORTED

const struct cprof_asleep *asleep_enable(bool contexts)
{
    (void)contexts;
    return NULL;
}

#else

#define WALK_WITHOUT_AWAITERS
#include "context_read.h"
#include "walk_chain.h"

/* ---- a thread's state ---- */

enum { STATES_MAX = 4096 }; /* that a search goes through */

_Static_assert(sizeof(PyThreadState) <= COPY_SIZE, "a copy holds a thread's state");

/* Where the newest thread state of the interpreter hangs. */
static PyThreadState *const *newest_state(void)
{
    const PyInterpreterState *interpreter =
        atomic_load_explicit(&walk_interpreter, memory_order_relaxed);
#if PY_VERSION_HEX < 0x030B0000
    return (PyThreadState *const *)&interpreter->tstate_head;
#else
    return &interpreter->threads.head;
#endif
}

/* What tells whose a state is. */
static bool is_of(const PyThreadState *state, const struct cprof_sleeper *sleeper)
{
#if PY_VERSION_HEX < 0x030B0000
    return state->thread_id == sleeper->id;
#else
    return state->native_thread_id == (unsigned long)sleeper->tid;
#endif
}

/* The state at that address, if it is the thread's; NULL: it is not. */
static PyThreadState *checked(PyThreadState *address, struct readable *memory)
{
    const PyThreadState *state = seen(memory, address, sizeof *state);
    const void *interpreter = atomic_load_explicit(&walk_interpreter, memory_order_relaxed);

    return state != NULL && state->interp == interpreter && is_of(state, memory->sleeper)
               ? address
               : NULL;
}

static PyThreadState *search(PyThreadState *newest, struct readable *memory)
{
    PyThreadState *address = newest;

    for (int left = STATES_MAX; address != NULL && left > 0; left--) {
        const PyThreadState *state = seen(memory, address, sizeof *state);
        if (state == NULL)
            return NULL;
        if (is_of(state, memory->sleeper))
            return checked(address, memory);
        address = state->next;
    }
    return NULL;
}

/* Who looks at one thread after the other, in the order in which they began, finds the next
 * state beside the one that was found last. */
static PyThreadState *search_beside(PyThreadState *found, struct readable *memory)
{
    const PyThreadState *state = found != NULL ? seen(memory, found, sizeof *state) : NULL;
    PyThreadState *newer = state != NULL ? state->prev : NULL;
    PyThreadState *older = state != NULL ? state->next : NULL;

    if (newer != NULL && checked(newer, memory) != NULL)
        return newer;
    return older != NULL ? checked(older, memory) : NULL;
}

/* The word that is kept is the state's address; with a bit, that of the newest one when the
 * thread had none: it has none until there is a newer one. */
static PyThreadState *state_of(struct readable *memory)
{
    const uintptr_t none = 1;
    static PyThreadState *last; /* of the collector: found at the look before */
    uintptr_t *kept = memory->sleeper->kept;
    PyThreadState *const *newest = seen(memory, newest_state(), sizeof *newest);
    PyThreadState *state = NULL, *first = newest != NULL ? *newest : NULL;

    if (*kept == ((uintptr_t)first | none))
        return NULL;
    if (*kept != 0 && (*kept & none) == 0)
        state = checked((PyThreadState *)*kept, memory);
    if (state == NULL)
        state = search_beside(last, memory);
    if (state == NULL)
        state = search(first, memory);
    if (state != NULL)
        last = state;
    *kept = state != NULL ? (uintptr_t)state : (uintptr_t)first | none;
    return state;
}

/* ---- the seam ---- */

static size_t walk(const struct cprof_sleeper *sleeper, struct cprof_frame *frames,
                   size_t capacity, bool *complete)
{
    struct readable memory;
    PyThreadState *state;

    copies_begin(&memory, sleeper);
    state = state_of(&memory);
    *complete = true;
    return state != NULL ? walk_chain(state, &memory, frames, capacity, complete) : 0;
}

static bool context(const struct cprof_sleeper *sleeper, struct cprof_context *context)
{
    struct readable memory;
    PyThreadState *state;

    copies_begin(&memory, sleeper);
    state = labels_variable != NULL && spans_variable != NULL ? state_of(&memory) : NULL;
    return state != NULL && read_context(state, context, &memory);
}

bool asleep_read_variables(const void *address, struct cprof_context *context,
                           struct readable *memory)
{
    return labels_variable != NULL && spans_variable != NULL &&
           read_variables(address, context, memory);
}

/* ---- the GIL ---- */

static const struct _gil_runtime_state *gil;

/* Does anybody hold it? Else who held it last does not. */
static bool is_held(struct readable *memory)
{
    const int *locked = seen(memory, (const int *)&gil->locked, sizeof *locked);

    return locked != NULL && *locked > 0;
}

/* Whoever asks for the GIL waits at its condition or its mutex, which lie in it. */
static enum cprof_wait interpreter_lock(const struct cprof_sleeper *sleeper, pid_t *holder)
{
    struct readable memory;
    PyThreadState *const *last;
    const PyThreadState *state;

    copies_begin(&memory, sleeper);
    *holder = 0;
    if (sleeper->futex - (uintptr_t)gil >= sizeof *gil)
        return CPROF_WAIT_UNKNOWN;
    last = seen(&memory, &gil->last_holder, sizeof *last);
    state = last != NULL && *last != NULL ? seen(&memory, *last, sizeof *state) : NULL;
#if PY_VERSION_HEX >= 0x030B0000
    if (state != NULL && (pid_t)state->native_thread_id != sleeper->tid && is_held(&memory))
        *holder = (pid_t)state->native_thread_id;
#endif
    (void)state;
    return CPROF_WAIT_GIL;
}

/* ---- at rest ---- */

/* Functions in which a thread without work waits, by name and the end of their file. One that
 * has a caller waits there only if that one called it. */
static const struct resting {
    const char *name, *file, *caller;
} resting[] = {
    {"_worker", "concurrent/futures/thread.py", NULL},
    {"EpollSelector.select", "selectors.py", "BaseEventLoop._run_once"},
    {"_PollLikeSelector.select", "selectors.py", "BaseEventLoop._run_once"},
    {"SelectSelector.select", "selectors.py", "BaseEventLoop._run_once"},
    {"SelectSelector._select", "selectors.py", NULL},
    {"EpollSelector.select", "selectors.py", "BaseServer.serve_forever"},
    {"_PollLikeSelector.select", "selectors.py", "BaseServer.serve_forever"},
    {"SelectSelector.select", "selectors.py", "BaseServer.serve_forever"},
    {"Loop.run_forever", "uvloop/__init__.py", NULL},
    {"socket.accept", "socket.py", NULL},
    {"SyncWorker.wait", "gunicorn/workers/sync.py", NULL},
    {"Arbiter.sleep", "gunicorn/arbiter.py", NULL},
    {"Pool._handle_tasks", "multiprocessing/pool.py", NULL},
    {"worker", "multiprocessing/pool.py", NULL},
    {"Queue.get", "asyncio/queues.py", NULL}, /* a task */
    {"SemLock.__enter__", "multiprocessing/synchronize.py", "SimpleQueue.get"},
};

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), size = strlen(end);

    return length >= size && strcmp(text + length - size, end) == 0;
}

static enum cprof_wait waits_for(const struct cprof_function *functions, size_t count)
{
    for (size_t i = 0; count > 0 && i < sizeof resting / sizeof resting[0]; i++) {
        const struct resting *row = &resting[i];
        if (strcmp(functions[0].name, row->name) == 0 &&
            ends_with(functions[0].file, row->file) &&
            (row->caller == NULL || (count > 1 && strcmp(functions[1].name, row->caller) == 0)))
            return CPROF_WAIT_IDLE;
    }
    return CPROF_WAIT_UNKNOWN;
}

/* A Queue waits in a Condition, and that at a lock. */
static bool is_of_locks(const struct cprof_function *function)
{
    static const char *const files[] = {"/threading.py",
                                        "/queue.py",
                                        "/multiprocessing/synchronize.py",
                                        "/multiprocessing/queues.py",
                                        "/asyncio/locks.py",
                                        "/asyncio/queues.py",
                                        "/asyncio/tasks.py",
                                        "/asyncio/timeouts.py"};

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (ends_with(function->file, files[i]))
            return true;
    return false;
}

static void count(struct cprof_population *population)
{
    tasks_count(population);
    greenlets_count(population);
}

static struct cprof_asleep asleep = {.walk = walk,
                                     .interpreter_lock = interpreter_lock,
                                     .waits_for = waits_for,
                                     .is_of_locks = is_of_locks,
                                     .tasks = tasks_each,
                                     .others = greenlets_each,
                                     .task_wait = tasks_wait,
                                     .count = count};

const struct cprof_asleep *asleep_enable(bool contexts)
{
    gil = gil_followed();
    asleep.context = contexts ? context : NULL;
    return &asleep;
}

#endif
