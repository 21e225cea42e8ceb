#include "graves.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "cprof/cprof.h"
#include "qualnames.h"

/* At first; the ring doubles when all are needed, as far as CPROF_MEMORY_LIMIT has room. */
enum { GRAVES = 4096 };

/* A sample is named before the epoch has moved on twice after it (runtime.h, drained()); one
 * more, as handlers read the epoch without any order. */
enum { EPOCHS_ASKED = 3 };

struct grave {
    uintptr_t code;
    uint64_t older;      /* number of the slot's grave before this one; 0 = none */
    uint32_t generation; /* the last in which the object lived */
    int first_line;
    PyObject *name, *file, *lines; /* owned */
};

struct grave_slot grave_slots[GRAVE_SLOTS];
_Atomic uint32_t grave_epoch = 1;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Graves are numbered from 1; number n lies at graves[n % room]. Those from `oldest` up to,
 * not including, `next` exist; those below `unneeded` may be dropped. */
static struct grave first_graves[GRAVES], *graves = first_graves;
static uint64_t room = GRAVES;
static bool full, told; /* one was dropped that may be asked for; that was said */
static uint64_t oldest = 1, next = 1, unneeded = 1;
static uint64_t next_when_drained = 1;  /* `next` at the latest drained() call */
static uint64_t newest[GRAVE_SLOTS];    /* by slot: its youngest grave's number */
static uint32_t forgotten[GRAVE_SLOTS]; /* by slot: generations below this had graves that
                                           were dropped */

void graves_lock(void)
{
    pthread_mutex_lock(&lock);
}

void graves_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

/* [GIL, locked] Strings and bytes: dropping them runs no Python code. */
static void drop_oldest(void)
{
    struct grave *grave = &graves[oldest++ % room];

    forgotten[grave_place(grave->code)] = grave->generation + 1;
    Py_CLEAR(grave->name);
    Py_CLEAR(grave->file);
    Py_CLEAR(grave->lines);
}

/* May the collector have a sample left with a code object of this slot? */
static bool asked_for(const struct grave_slot *slot)
{
    const uint32_t sampled = atomic_load_explicit(&slot->sampled, memory_order_relaxed);
    const uint32_t epoch = atomic_load_explicit(&grave_epoch, memory_order_relaxed);

    return sampled != 0 && epoch - sampled < EPOCHS_ASKED;
}

/* [locked] Back to the first ring; all graves are empty. */
static void shrink(void)
{
    if (graves != first_graves) {
        free(graves);
        cprof_memory_give(room * sizeof *graves);
    }
    graves = first_graves;
    room = GRAVES;
}

/* [locked] Twice the room. */
static bool grow(void)
{
    const size_t size = 2 * room * sizeof *graves;
    struct grave *grown = cprof_memory_take(size) ? calloc(1, size) : NULL;

    if (grown == NULL)
        return false;
    for (uint64_t number = oldest; number < next; number++)
        grown[number % (2 * room)] = graves[number % room];
    if (graves != first_graves) {
        free(graves);
        cprof_memory_give(room * sizeof *graves);
    }
    graves = grown;
    room *= 2;
    return true;
}

/* [GIL, locked] */
static void make_room(void)
{
    if (next - oldest < room || (oldest >= unneeded && grow()))
        return;
    full |= oldest >= unneeded;
    drop_oldest();
}

/* [GIL, locked] */
static void dig(PyCodeObject *code, unsigned place, uint32_t generation)
{
    struct grave *grave;

    make_room();
    grave = &graves[next % room];
    *grave = (struct grave){
        .code = (uintptr_t)code,
        .older = newest[place],
        .generation = generation,
        .first_line = code->co_firstlineno,
        .name = Py_NewRef((PyObject *)(uintptr_t)qualname_of(code, (uintptr_t)code)),
        .file = Py_NewRef(code->co_filename),
        .lines = Py_NewRef(code->co_linetable),
    };
    newest[place] = next++;
}

/* [GIL] */
static void bury(PyCodeObject *code)
{
    const unsigned place = grave_place((uintptr_t)code);
    struct grave_slot *slot = &grave_slots[place];
    uint32_t generation;
    bool tell;

    graves_lock();
    generation = atomic_load_explicit(&slot->generation, memory_order_relaxed);
    /* Two for one, so that what is no longer needed goes without a burst of work. */
    for (int i = 0; i < 2 && oldest < unneeded; i++)
        drop_oldest();
    if (asked_for(slot))
        dig(code, place, generation);
    atomic_store_explicit(&slot->generation, generation + 1, memory_order_relaxed);
    qualname_forget((uintptr_t)code);
    tell = full && !told;
    told |= tell;
    graves_unlock();
    if (tell)
        cprof_say(
            "CPROF_MEMORY_LIMIT has no room for the names of all functions that were sampled "
            "and are gone: some are shown as [unknown]");
}

enum grave_found graves_find(uintptr_t code, uint32_t generation, struct code_parts *parts)
{
    const unsigned place = grave_place(code);
    const struct grave *found = NULL;

    for (uint64_t number = newest[place]; number >= oldest;) {
        const struct grave *grave = &graves[number % room];
        if (grave->generation < generation)
            break;
        if (grave->code == code)
            found = grave;
        number = grave->older;
    }
    if (generation < forgotten[place])
        return GRAVE_LOST;
    if (found == NULL)
        return GRAVE_ALIVE;
    *parts = (struct code_parts){.name = found->name,
                                 .file = found->file,
                                 .lines = found->lines,
                                 .first_line = found->first_line};
    return GRAVE_DEAD;
}

void graves_drained(void)
{
    graves_lock();
    unneeded = next_when_drained;
    next_when_drained = next;
    atomic_fetch_add_explicit(&grave_epoch, 1, memory_order_relaxed);
    graves_unlock();
}

#if PY_VERSION_HEX >= 0x030C0000

static int watcher = -1;

static int code_event(PyCodeEvent event, PyCodeObject *code)
{
    if (event == PY_CODE_EVENT_DESTROY)
        bury(code);
    return 0;
}

static int watch_deaths(void)
{
    watcher = PyCode_AddWatcher(code_event);
    return watcher < 0 ? -1 : 0;
}

static void unwatch_deaths(void)
{
    if (watcher >= 0 && PyCode_ClearWatcher(watcher) < 0)
        PyErr_Clear();
    watcher = -1;
}

#else

/* Before 3.12 the one notice of a code object's death is its type's destructor. Somebody who
 * wrapped it after us keeps calling ours; it is then a plain detour to the original. */
static destructor original_destructor;
static bool watching;

static void code_destroyed(PyObject *code)
{
    if (watching)
        bury((PyCodeObject *)code);
    original_destructor(code);
}

static int watch_deaths(void)
{
    if (PyCode_Type.tp_dealloc != code_destroyed && original_destructor == NULL) {
        original_destructor = PyCode_Type.tp_dealloc;
        PyCode_Type.tp_dealloc = code_destroyed;
    }
    watching = true;
    return 0;
}

static void unwatch_deaths(void)
{
    watching = false;
    if (PyCode_Type.tp_dealloc == code_destroyed) {
        PyCode_Type.tp_dealloc = original_destructor;
        original_destructor = NULL;
    }
}

#endif

int graves_open(void)
{
    return watch_deaths();
}

void graves_close(void)
{
    unwatch_deaths();
    graves_lock();
    while (oldest < next)
        drop_oldest();
    shrink();
    full = told = false;
    graves_unlock();
}
