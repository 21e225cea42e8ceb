#include "gil.h"

#include <pthread.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PY_SSIZE_T_CLEAN
#define Py_BUILD_CORE 1
#include <Python.h>
#include <internal/pycore_interp.h>
#include <internal/pycore_runtime.h>
#if PY_VERSION_HEX >= 0x030D0000
#include <internal/pycore_ceval_state.h>
#endif

#include "cprof/imports.h"
#include "walk.h"

CPROF_THREAD_LOCAL bool gil_within;

#ifdef WALK_UNSUPPORTED

bool gil_open(void)
{
    return false;
}

void gil_close(void)
{
}

void gil_child(void)
{
}

#else

const struct _gil_runtime_state *gil_followed(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    const PyInterpreterState *interpreter =
        atomic_load_explicit(&walk_interpreter, memory_order_relaxed);
    return interpreter->ceval.gil;
#else
    return &_PyRuntime.ceval.gil;
#endif
}

/* ---- who waits ---- */

static const struct _gil_runtime_state *gil;
static _Atomic unsigned session; /* counts gil_open() */

/* Under the GIL's mutex. The sums may run over: what is taken of them does not. */
static struct {
    uint64_t count;
    uint64_t since_ns;  /* the sum of when each began, or somebody was blamed last if later */
    uint64_t blamed_ns; /* when that was */
    pid_t holder;       /* who let it go then */
} waiters;

static CPROF_THREAD_LOCAL struct {
    uint64_t since_ns;  /* it waits; 0: it does not */
    uint64_t before_ns; /* waited for another to take over */
    pid_t tid;
    unsigned session;
} own;

/* What a thread that waited as the calls were given back has left there is not of now. */
static void forget_earlier_sessions(void)
{
    const unsigned now = atomic_load_explicit(&session, memory_order_relaxed);

    if (own.session != now)
        own.since_ns = own.before_ns = 0;
    own.session = now;
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static pid_t own_tid(void)
{
    if (own.tid == 0)
        own.tid = (pid_t)syscall(SYS_gettid);
    return own.tid;
}

/* From when on nobody has been blamed for its wait. */
static uint64_t unblamed_since(void)
{
    return own.since_ns > waiters.blamed_ns ? own.since_ns : waiters.blamed_ns;
}

static bool is_held(void)
{
    return *(const volatile int *)(const void *)&gil->locked > 0;
}

/* Threads of interpreters beside may share it, and are not followed. */
static bool is_followed(void)
{
    const PyThreadState *state = PyGILState_GetThisThreadState();

    return state != NULL &&
           state->interp == atomic_load_explicit(&walk_interpreter, memory_order_relaxed);
}

/* A thread that begins waits for the GIL before it is known, and one that ends lets it go when
 * it is no more. */
static void count(enum cprof_event event, uint64_t waited, pid_t holder,
                  const struct cprof_registers *caller)
{
    const struct cprof_waited of = {.lock = CPROF_LOCK_GIL, .holder = holder};
    const uint64_t period = is_followed() ? cprof_due(event, waited) : 0;

    if (period == 0)
        return;
    if (cprof_is_known())
        cprof_take_wait(event, period, waited, &of, caller);
    else
        cprof_not_taken(event);
}

/* ---- the calls ---- */

typedef int timed_wait_function(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
typedef int wait_function(pthread_cond_t *, pthread_mutex_t *);
typedef int signal_function(pthread_cond_t *);

static int timed_wait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                      const struct timespec *until);
static int wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
static int signal_one(pthread_cond_t *condition);

enum { TIMED_WAIT, WAIT, SIGNAL, IMPORTS };

static struct cprof_import imports[IMPORTS] = {
    [TIMED_WAIT] = {.name = "pthread_cond_timedwait", .ours = (uintptr_t)timed_wait},
    [WAIT] = {.name = "pthread_cond_wait", .ours = (uintptr_t)wait},
    [SIGNAL] = {.name = "pthread_cond_signal", .ours = (uintptr_t)signal_one},
};

/* Till it is to be asked for again, or has been let go: then the wait is over, as no other can
 * take it before the mutex is given back. */
__attribute__((noinline)) static int
wait_for_gil(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until)
{
    const struct cprof_registers caller = cprof_caller();
    uint64_t waited;
    int result;

    forget_earlier_sessions();
    if (own.since_ns == 0)
        own.since_ns = now_ns();
    waiters.count++;
    waiters.since_ns += unblamed_since();
    result = ((timed_wait_function *)imports[TIMED_WAIT].original)(condition, mutex, until);
    waiters.count--;
    waiters.since_ns -= unblamed_since();
    if (is_held())
        return result;
    waited = now_ns() - own.since_ns + own.before_ns;
    own.since_ns = own.before_ns = 0;
    if (!gil_within)
        count(CPROF_EVENT_LOCK, waited, waiters.holder != own_tid() ? waiters.holder : 0,
              &caller);
    return result;
}

static int timed_wait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                      const struct timespec *until)
{
    if ((const void *)condition == (const void *)&gil->cond)
        return wait_for_gil(condition, mutex, until);
    return ((timed_wait_function *)imports[TIMED_WAIT].original)(condition, mutex, until);
}

static int wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
    wait_function *original = (wait_function *)imports[WAIT].original;
    uint64_t since;
    int result;

    if ((const void *)condition != (const void *)&gil->switch_cond)
        return original(condition, mutex);
    forget_earlier_sessions();
    since = now_ns();
    result = original(condition, mutex);
    own.before_ns += now_ns() - since;
    return result;
}

/* They have waited for who lets it go now, since they began or since the last one did. */
__attribute__((noinline)) static int let_go(pthread_cond_t *condition)
{
    const struct cprof_registers caller = cprof_caller();
    const uint64_t now = now_ns(), waited = waiters.count * now - waiters.since_ns;
    int result = ((signal_function *)imports[SIGNAL].original)(condition);

    waiters.since_ns = waiters.count * now;
    waiters.blamed_ns = now;
    waiters.holder = own_tid();
    count(CPROF_EVENT_BLAME, waited, 0, &caller);
    return result;
}

static int signal_one(pthread_cond_t *condition)
{
    if ((const void *)condition == (const void *)&gil->cond && waiters.count != 0)
        return let_go(condition);
    return ((signal_function *)imports[SIGNAL].original)(condition);
}

/* ---- in and out ---- */

bool gil_open(void)
{
    gil = gil_followed();
    atomic_fetch_add(&session, 1);
    imports[TIMED_WAIT].original = (uintptr_t)pthread_cond_timedwait;
    imports[WAIT].original = (uintptr_t)pthread_cond_wait;
    imports[SIGNAL].original = (uintptr_t)pthread_cond_signal;
    if (cprof_imports_lead((uintptr_t)&PyEval_SaveThread, imports, IMPORTS))
        return true;
    gil_close();
    return false;
}

void gil_close(void)
{
    cprof_imports_restore(imports, IMPORTS);
}

void gil_child(void)
{
    waiters.count = waiters.since_ns = waiters.blamed_ns = 0;
    waiters.holder = 0;
    own.since_ns = own.before_ns = 0;
    own.tid = 0;
    gil_within = false;
}

#endif
