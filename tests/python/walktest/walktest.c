/*
 * The binding's walk and names without the core around them: walks the calling thread, or is
 * driven by a process-wide profiling timer, with a thread that names what was sampled.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "asleep.h"
#include "cprof/context.h"
#include "cprof/cprof.h"
#include "cprof/labels.h"
#include "graves.h"
#include "labels.h"
#include "names.h"
#include "qualnames.h"
#include "span_hooks.h"
#include "spans.h"
#include "turns.h"
#include "walk.h"
#include "walk_context.h"

enum { FRAMES = 256, SAMPLES = 4096, TEXT = 256 };

struct sample {
    _Atomic int state; /* 0 free, 1 being written, 2 written */
    size_t count;
    bool complete;
    struct cprof_frame frames[FRAMES];
};

static struct sample samples[SAMPLES];
static _Atomic unsigned written;
static _Atomic uint64_t taken, dropped, incomplete, named, unnamed, misplaced;
static _Atomic bool naming;
static pthread_t namer;

/* What the binding asks of the core, and tells it of a context. */
bool cprof_memory_take(size_t bytes)
{
    (void)bytes;
    return true;
}

void cprof_memory_give(size_t bytes)
{
    (void)bytes;
}

void cprof_say(const char *line)
{
    (void)line;
}

/* What is learnt and read of asyncio for more than names. */
void turns_learn(void)
{
}

bool asleep_read_variables(const void *address, struct cprof_context *context,
                           struct readable *memory)
{
    (void)address, (void)context, (void)memory;
    return false;
}

bool cprof_context_shared(void)
{
    return false;
}

void cprof_context_attach(const struct cprof_span *span, const uint8_t *attributes, size_t size)
{
    (void)span, (void)attributes, (void)size;
}

void cprof_context_detach(void)
{
}

size_t cprof_context_encode(const struct cprof_pair *labels, size_t count,
                            uint8_t attributes[CPROF_ATTRIBUTES_MAX])
{
    (void)labels, (void)count, (void)attributes;
    return 0;
}

uint32_t cprof_labels_hold(const struct cprof_pair *labels, size_t count)
{
    (void)labels, (void)count;
    return 0;
}

void cprof_labels_release(uint32_t set)
{
    (void)set;
}

static PyObject *open_walk(PyObject *self, PyObject *unused)
{
    char why[256];

    (void)self, (void)unused;
    if (!walk_enable(why, sizeof why)) {
        PyErr_SetString(PyExc_RuntimeError, why);
        return NULL;
    }
    if (graves_open() < 0 || qualnames_open() < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *close_walk(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    graves_close();
    qualnames_close();
    Py_RETURN_NONE;
}

static PyObject *named_frame(const struct cprof_frame *frame)
{
    struct cprof_function function;

    if (names_resolve(frame, &function) != 0)
        return Py_BuildValue("(sziiK)", "[unknown]", NULL, 0, 0,
                             (unsigned long long)frame->stack);
    return Py_BuildValue("(ssiiK)", function.name, function.file, (int)function.line,
                         (int)function.start_line, (unsigned long long)frame->stack);
}

/* walk(capacity) -> (complete, [(name, file, line, start line, stack address)]) */
static PyObject *walk(PyObject *self, PyObject *arguments)
{
    const struct cprof_interrupted here = {0};
    struct cprof_frame frames[FRAMES];
    int capacity = FRAMES;
    bool complete;
    size_t count;
    PyObject *list;

    (void)self;
    if (!PyArg_ParseTuple(arguments, "|i", &capacity) || capacity > FRAMES)
        return NULL;
    count = walk_python(&here, frames, (size_t)capacity, &complete);
    list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list != NULL && i < count; i++)
        PyList_SET_ITEM(list, (Py_ssize_t)i, named_frame(&frames[i]));
    return Py_BuildValue("(ON)", complete ? Py_True : Py_False, list);
}

static double seconds_of_thread(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* cost(times) -> nanoseconds of one walk, on average. */
static PyObject *cost(PyObject *self, PyObject *times)
{
    const struct cprof_interrupted here = {0};
    const long count = PyLong_AsLong(times);
    struct cprof_frame frames[FRAMES];
    const double begin = seconds_of_thread();
    bool complete;

    (void)self;
    for (long i = 0; i < count; i++)
        walk_python(&here, frames, FRAMES, &complete);
    return PyFloat_FromDouble((seconds_of_thread() - begin) * 1e9 / (double)count);
}

/* context_cost(times) -> (nanoseconds to read the span and labels, on average; the span's id)
 */
static PyObject *context_cost(PyObject *self, PyObject *times)
{
    const struct cprof_interrupted here = {0};
    const long count = PyLong_AsLong(times);
    struct cprof_context context;
    const double begin = seconds_of_thread();

    (void)self;
    for (long i = 0; i < count; i++) {
        context = (struct cprof_context){0};
        walk_context(&here, &context);
    }
    return Py_BuildValue("(dy#)", (seconds_of_thread() - begin) * 1e9 / (double)count,
                         (const char *)context.span_id, (Py_ssize_t)sizeof context.span_id);
}

/* hold() -> bytes: the calling frame as a sample, to be named later. */
static PyObject *hold(PyObject *self, PyObject *unused)
{
    const struct cprof_interrupted here = {0};
    struct cprof_frame frame;
    bool complete;

    (void)self, (void)unused;
    if (walk_python(&here, &frame, 1, &complete) != 1)
        Py_RETURN_NONE;
    return PyBytes_FromStringAndSize((const char *)&frame, sizeof frame);
}

/* hold_code(code) -> bytes: as if its first instruction had been sampled now. */
static PyObject *hold_code(PyObject *self, PyObject *code)
{
    const uintptr_t address = (uintptr_t)code;
    const struct cprof_frame frame = {.token = address,
                                      .position = position_pack(graves_sampled(address), 0)};

    (void)self;
    return PyBytes_FromStringAndSize((const char *)&frame, sizeof frame);
}

static PyObject *resolve(PyObject *self, PyObject *held)
{
    struct cprof_frame frame;

    (void)self;
    memcpy(&frame, PyBytes_AS_STRING(held), sizeof frame);
    return named_frame(&frame);
}

static PyObject *drained(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    graves_drained();
    Py_RETURN_NONE;
}

static void on_signal(int signal, siginfo_t *info, void *ucontext)
{
    const struct cprof_interrupted here = {.ucontext = ucontext};
    const int saved = errno;
    struct sample *sample = &samples[atomic_fetch_add(&written, 1) % SAMPLES];
    int free_state = 0;

    (void)signal, (void)info;
    atomic_fetch_add(&taken, 1);
    if (atomic_compare_exchange_strong(&sample->state, &free_state, 1)) {
        sample->count = walk_python(&here, sample->frames, FRAMES, &sample->complete);
        atomic_store(&sample->state, 2);
    } else {
        atomic_fetch_add(&dropped, 1);
    }
    errno = saved;
}

static void name_sample(const struct sample *sample)
{
    struct cprof_function function;

    if (!sample->complete)
        atomic_fetch_add(&incomplete, 1);
    for (size_t i = 0; i < sample->count; i++) {
        int line;
        if (names_resolve(&sample->frames[i], &function) != 0) {
            atomic_fetch_add(&unnamed, 1);
            continue;
        }
        atomic_fetch_add(&named, 1);
        /* Functions named f_<n> are compiled to begin at line n. */
        if (sscanf(function.name, "f_%d", &line) == 1 && line != function.start_line)
            atomic_fetch_add(&misplaced, 1);
    }
}

static void *name_samples(void *unused)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};

    (void)unused;
    while (naming) {
        nanosleep(&pause, NULL);
        for (size_t i = 0; i < SAMPLES; i++)
            if (samples[i].state == 2) {
                name_sample(&samples[i]);
                samples[i].state = 0;
            }
        graves_drained();
    }
    return NULL;
}

/* sample(hertz): begins; sample(0): ends. -> figures */
static PyObject *sample(PyObject *self, PyObject *arguments)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct itimerval timer = {0};
    sigset_t all, before;
    int hertz;

    (void)self;
    if (!PyArg_ParseTuple(arguments, "i", &hertz))
        return NULL;
    if (hertz > 0) {
        sigaction(SIGPROF, &action, NULL);
        timer.it_interval.tv_usec = timer.it_value.tv_usec = 1000000 / hertz;
        naming = true;
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, &before);
        pthread_create(&namer, NULL, name_samples, NULL);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        setitimer(ITIMER_PROF, &timer, NULL);
    } else {
        setitimer(ITIMER_PROF, &timer, NULL);
        signal(SIGPROF, SIG_IGN);
        naming = false;
        Py_BEGIN_ALLOW_THREADS pthread_join(namer, NULL);
        Py_END_ALLOW_THREADS
    }
    return Py_BuildValue("{s:K,s:K,s:K,s:K,s:K,s:K}", "taken", taken, "dropped", dropped,
                         "incomplete", incomplete, "named", named, "unnamed", unnamed,
                         "misplaced", misplaced);
}

static PyMethodDef methods[] = {
    {"open", open_walk, METH_NOARGS, NULL},
    {"close", close_walk, METH_NOARGS, NULL},
    {"walk", walk, METH_VARARGS, NULL},
    {"hold", hold, METH_NOARGS, NULL},
    {"resolve", resolve, METH_O, NULL},
    {"hold_code", hold_code, METH_O, NULL},
    {"drained", drained, METH_NOARGS, NULL},
    {"sample", sample, METH_VARARGS, NULL},
    {"cost", cost, METH_O, NULL},
    {"context_cost", context_cost, METH_O, NULL},
    {"follow_spans", span_hooks_follow, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "_walktest", .m_size = -1,
                                    .m_methods = methods};

PyMODINIT_FUNC PyInit__walktest(void)
{
    PyObject *self = PyModule_Create(&module);

    if (self != NULL &&
        (labels_init(self) < 0 || spans_init(self) < 0 || span_hooks_init() < 0))
        Py_CLEAR(self);
    walk_context_enable();
    return self;
}
