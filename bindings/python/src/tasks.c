#include "tasks.h"

#include <stdio.h>
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
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_llist.h>
#include <internal/pycore_tstate.h>
#endif

#include "asleep.h"
#include "awaiters.h"
#include "copies.h"
#include "cprof/readable.h"
#include "walk.h"

#ifdef WALK_UNSUPPORTED

void tasks_learn(void)
{
}

size_t tasks_each(bool (*each)(void *closure, const struct cprof_task *task), void *closure,
                  bool twice)
{
    (void)each, (void)closure, (void)twice;
    return 0;
}

enum cprof_wait tasks_wait(const struct cprof_function *functions, size_t count)
{
    (void)functions, (void)count;
    return CPROF_WAIT_UNKNOWN;
}

void tasks_count(struct cprof_population *population)
{
    (void)population;
}

#else

#define WALK_WITHOUT_AWAITERS
#include "walk_chain.h"

#include "tasks_coroutine.h"

enum {
    TASKS_MAX = 100001, /* of all loops: one more than a dump shows */
    FRAMES_MAX = 256,   /* of one task */
    HOPS_MAX = 32,      /* tasks and futures, one awaited by the next */
    STATES_MAX = 4096,
    PAGES = 512,
    PAGE = 4096,
    NAME_SIZE = 64,
};

/* Pages that have been copied: tasks lie beside each other, and so do coroutines. */
struct pages {
    struct {
        uintptr_t address; /* 0: none */
        unsigned char bytes[PAGE];
    } list[PAGES];
};

/* What was read of a task. */
struct view {
    char name[NAME_SIZE];
    struct cprof_context context;
    size_t count; /* 0: it is not suspended */
    struct cprof_frame frames[FRAMES_MAX];
};

struct search {
    void (*visit)(struct search *search, uintptr_t task);
    bool (*each)(void *closure, const struct cprof_task *task);
    void *closure;
    size_t count;
    struct cprof_sleeper reader;
    struct readable memory;
    struct pages pages;
    struct cprof_frame *frames; /* those of the view that is being made */
    struct view views[2];
    bool twice; /* one that waits is read again */
    bool ended; /* no more are wanted */
};

/* ---- reading ---- */

static const unsigned char *page_at(struct pages *pages, uintptr_t address)
{
    const size_t place = address / PAGE % PAGES;

    if (pages->list[place].address == address)
        return pages->list[place].bytes;
    pages->list[place].address = 0;
    if (!cprof_read_all(pages->list[place].bytes, address, PAGE))
        return NULL;
    pages->list[place].address = address;
    return pages->list[place].bytes;
}

static void forget_pages(struct pages *pages)
{
    for (size_t i = 0; i < PAGES; i++)
        pages->list[i].address = 0;
}

static bool read_pages(const struct cprof_sleeper *reader, uintptr_t from, void *to,
                       size_t size)
{
    char *at = to;

    while (size > 0) {
        const size_t begin = from % PAGE, left = PAGE - begin;
        const size_t part = size < left ? size : left;
        const unsigned char *page = page_at(reader->memory, from - begin);
        if (page == NULL)
            return false;
        memcpy(at, page + begin, part);
        at += part;
        from += part;
        size -= part;
    }
    return true;
}

#if PY_VERSION_HEX >= 0x030C0000

/* A task that was given no name has a number until somebody asks for its name. */
static bool read_number(const void *object, char name[NAME_SIZE], struct readable *memory)
{
    const PyLongObject *number = seen(memory, object, sizeof *number);

    if (number == NULL || number->ob_base.ob_type != &PyLong_Type ||
        number->long_value.lv_tag >> 3 > 1)
        return false;
    snprintf(name, NAME_SIZE, "Task-%lu", (unsigned long)number->long_value.ob_digit[0]);
    return true;
}

#else

static bool read_number(const void *object, char name[NAME_SIZE], struct readable *memory)
{
    (void)object, (void)name, (void)memory;
    return false;
}

#endif

/* "" where it is not ASCII. */
static void read_name(const void *object, char name[NAME_SIZE], struct readable *memory)
{
    const PyASCIIObject *text = seen(memory, object, sizeof *text);
    size_t length;

    name[0] = '\0';
    if (read_number(object, name, memory))
        return;
    if (text == NULL || text->ob_base.ob_type != &PyUnicode_Type || !text->state.compact ||
        !text->state.ascii || text->length < 0)
        return;
    length = (size_t)text->length < NAME_SIZE - 1 ? (size_t)text->length : NAME_SIZE - 1;
    if (memory->sleeper->read(memory->sleeper, (uintptr_t)object + sizeof *text, name, length))
        name[length] = '\0';
    else
        name[0] = '\0';
}

static const PyObject *field(const char *task, uint32_t offset)
{
    return *(PyObject *const *)(const void *)(task + offset);
}

/* ---- stacks ---- */

/* Its frames and those of what it awaits, innermost first, behind the `count` that there are.
 * Returns how many there are then. */
static size_t push_coroutines(struct search *search, const PyObject *object, size_t count)
{
    struct readable *memory = &search->memory;
    const size_t first = count;

    while (count < FRAMES_MAX && object != NULL) {
        const PyGenObject *address = (const PyGenObject *)object;
        const PyGenObject *copy = copied_coroutine(address, memory);
        struct suspended found;
        if (copy == NULL || (Py_TYPE(copy) != &PyCoro_Type && Py_TYPE(copy) != &PyGen_Type))
            break;
        const bool goes_on = awaits(copy);
        if (!read_coroutine(address, copy, &found, memory) || found.frame.code == 0)
            break;
        search->frames[count++] = python_frame(&found.frame);
        object = goes_on ? (const PyObject *)referent_at(found.top, memory) : NULL;
    }
    for (size_t low = first, high = count; low + 1 < high; low++, high--) {
        const struct cprof_frame frame = search->frames[low];
        search->frames[low] = search->frames[high - 1];
        search->frames[high - 1] = frame;
    }
    return count;
}

#if PY_VERSION_HEX >= 0x030E0000

/* Those that await it, one by the next; where there are several it can't be told for whom. */
static size_t push_awaiters_of(struct search *search, const char *task, size_t count)
{
    const char *by = (const char *)field(task, awaiters.awaited_by);
    bool several = task[awaiters.is_set] != 0;

    for (int hops = 0; by != NULL && !several && hops < HOPS_MAX; hops++) {
        const char *copy = seen(&search->memory, by, awaiters.size);
        if (copy == NULL)
            break;
        const PyObject *coroutine =
            copy[awaiters.is_task] ? field(copy, awaiters.coroutine) : NULL;
        by = (const char *)field(copy, awaiters.awaited_by);
        several = copy[awaiters.is_set] != 0;
        count = push_coroutines(search, coroutine, count);
    }
    return count;
}

static bool is_task(const char *copy)
{
    return copy[awaiters.is_task] != 0;
}

#else

static bool is_task(const char *copy);

/* `await`: the callback is a method of the task that waits. */
static const PyObject *woken_task(const PyObject *callback, struct readable *memory)
{
    static const char wanted[] = "task_wakeup";
    const PyCFunctionObject *method = seen(memory, callback, sizeof *method);
    const PyMethodDef *definition;
    char name[sizeof wanted];

    if (method == NULL || Py_TYPE(method) != &PyCFunction_Type)
        return NULL;
    definition = seen(memory, method->m_ml, sizeof *definition);
    return definition != NULL &&
                   memory->sleeper->read(memory->sleeper, (uintptr_t)definition->ml_name, name,
                                         sizeof name) &&
                   memcmp(name, wanted, sizeof name) == 0
               ? method->m_self
               : NULL;
}

/* gather(), wait(), shield(): it is a function that finishes a future. */
static const PyObject *enclosed_future(const PyObject *callback, struct readable *memory)
{
    const PyFunctionObject *function = seen(memory, callback, sizeof *function);

    if (function == NULL || Py_TYPE(function) != &PyFunction_Type)
        return NULL;
    const PyTupleObject *cells = (const PyTupleObject *)function->func_closure;
    const PyObject *code = function->func_code;
    for (unsigned i = 0; i < AWAITERS_CLOSURES; i++) {
        if (awaiters.closures[i].code == NULL || awaiters.closures[i].code != code)
            continue;
        PyObject *const *item =
            seen(memory, &cells->ob_item[awaiters.closures[i].cell], sizeof *item);
        const PyCellObject *cell = item != NULL ? seen(memory, *item, sizeof *cell) : NULL;
        return cell != NULL ? cell->ob_ref : NULL;
    }
    return NULL;
}

/* What waits for it, if that is one; NULL: nothing that is known, or several. */
static const PyObject *waiter_of(const char *future, struct readable *memory)
{
    const PyObject *callback = field(future, awaiters.callback), *task;

    if (callback == NULL || field(future, awaiters.callbacks) != NULL)
        return NULL;
    task = woken_task(callback, memory);
    return task != NULL ? task : enclosed_future(callback, memory);
}

/* Those that await it, one by the next, as far as callbacks tell (awaiters.h). */
static size_t push_awaiters_of(struct search *search, const char *task, size_t count)
{
    struct readable *memory = &search->memory;
    const PyObject *by = waiter_of(task, memory);

    for (int hops = 0; by != NULL && hops < HOPS_MAX; hops++) {
        const char *copy = seen(memory, by, awaiters.size);
        if (copy == NULL)
            break;
        const PyObject *coroutine = is_task(copy) ? field(copy, awaiters.coroutine) : NULL;
        by = waiter_of(copy, memory);
        count = push_coroutines(search, coroutine, count);
    }
    return count;
}

/* asyncio's own type, whose coroutine is where it was learnt to be. */
static bool is_task(const char *copy)
{
    return Py_TYPE((const PyObject *)(const void *)copy) == awaiters.task;
}

#endif

/* The context in which a task's coroutine runs is behind that: the first of the words there
 * that is one. */
static void read_task_context(struct search *search, uintptr_t address, struct view *view)
{
    enum { WORDS = 4 };
    struct readable *memory = &search->memory;
    const uintptr_t from = address + awaiters.coroutine + sizeof(PyObject *);
    uintptr_t words[WORDS];

    if (!memory->sleeper->read(memory->sleeper, from, words, sizeof words))
        return;
    for (int i = 0; i < WORDS; i++) {
        const PyObject *head =
            words[i] != 0 ? seen(memory, (const void *)words[i], sizeof *head) : NULL;
        if (head == NULL || Py_TYPE(head) != &PyContext_Type)
            continue;
        if (!asleep_read_variables((const void *)words[i], &view->context, memory))
            view->context = (struct cprof_context){0};
        return;
    }
}

/* False: there is no task. */
static bool read_task(struct search *search, uintptr_t address, struct view *view)
{
    char task[COPY_SIZE];
    const char *copy = seen(&search->memory, (const void *)address, awaiters.size);

    if (copy == NULL || !is_task(copy))
        return false;
    memcpy(task, copy, awaiters.size);
    view->name[0] = '\0';
    view->context = (struct cprof_context){0};
    search->frames = view->frames;
    if (awaiters.name != 0)
        read_name(field(task, awaiters.name), view->name, &search->memory);
    view->count = push_coroutines(search, field(task, awaiters.coroutine), 0);
    if (view->count == 0)
        return true;
    view->count = push_awaiters_of(search, task, view->count);
    read_task_context(search, address, view);
    return true;
}

static bool is_alike(const struct view *a, const struct view *b)
{
    if (a->count != b->count || memcmp(&a->context, &b->context, sizeof a->context) != 0)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->frames[i].token != b->frames[i].token ||
            a->frames[i].position != b->frames[i].position)
            return false;
    return true;
}

/* One that is suspended may be read again, from memory: if it is not the same it ran, and may
 * be torn. */
static void show_task(struct search *search, uintptr_t address)
{
    struct view *view = &search->views[0], *again = &search->views[1];

    if (!read_task(search, address, view))
        return;
    if (view->count > 0 && search->twice) {
        forget_pages(&search->pages);
        if (!read_task(search, address, again) || !is_alike(view, again))
            return;
    }
    const struct cprof_task shown = {.id = address,
                                     .name = view->name,
                                     .frames = view->frames,
                                     .count = view->count,
                                     .waits = view->count > 0,
                                     .context = view->context};
    search->ended = !search->each(search->closure, &shown);
    search->count++;
}

static void count_task(struct search *search, uintptr_t address)
{
    const char *copy = seen(&search->memory, (const void *)address, awaiters.size);
    const PyGenObject *coroutine = copy != NULL && is_task(copy)
                                       ? (const PyGenObject *)field(copy, awaiters.coroutine)
                                       : NULL;
    if (coroutine != NULL && !has_ended(coroutine, &search->memory))
        search->count++;
}

static bool wants_more(const struct search *search)
{
    return !search->ended && search->count < TASKS_MAX;
}

/* ---- finding them ---- */

#if PY_VERSION_HEX >= 0x030E0000

/* A ring of nodes, each in a task. A thread that ends hands its own over to the interpreter's,
 * whose head is another: so the way round has an end of its own. */
static void show_list(struct search *search, uintptr_t head)
{
    const struct llist_node *node = seen(&search->memory, (const void *)head, sizeof *node);
    size_t left = TASKS_MAX;

    for (uintptr_t at = node != NULL ? (uintptr_t)node->next : 0;
         at != 0 && at != head && left > 0 && wants_more(search); left--) {
        search->visit(search, at - awaiters.node);
        node = seen(&search->memory, (const void *)at, sizeof *node);
        at = node != NULL ? (uintptr_t)node->next : 0;
    }
}

static void show_all(struct search *search)
{
    const PyInterpreterState *interpreter =
        atomic_load_explicit(&walk_interpreter, memory_order_relaxed);
    const uintptr_t *newest = seen(&search->memory, &interpreter->threads.head, sizeof *newest);

    uintptr_t at = newest != NULL ? *newest : 0;
    for (int left = STATES_MAX; at != 0 && left > 0 && wants_more(search); left--) {
        const PyThreadState *state = seen(&search->memory, (const void *)at, sizeof *state);
        const uintptr_t next = state != NULL ? (uintptr_t)state->next : 0;
        if (state != NULL && state->interp == interpreter)
            show_list(search, at + offsetof(_PyThreadStateImpl, asyncio_tasks_head));
        at = next;
    }
    show_list(search, (uintptr_t)&interpreter->asyncio_tasks_head);
}

static bool is_learnt(void)
{
    return atomic_load_explicit(&awaiters.known, memory_order_acquire);
}

static void learn_sets(void)
{
}

#else

enum { SETS = 2, ENTRIES = COPY_SIZE / sizeof(setentry) };

/* asyncio's sets of tasks, or of weak references to them. Kept for good. */
static _Atomic(const PySetObject *) sets[SETS];

/* An entry of a set: a task, a weak reference to one, or nothing. */
static void show_entry(struct search *search, const PyObject *key)
{
    const PyWeakReference *reference =
        key != NULL ? seen(&search->memory, key, sizeof *reference) : NULL;

    if (reference == NULL)
        return;
    bool weak = Py_TYPE(reference) == &_PyWeakref_RefType;
    const uintptr_t task = weak ? (uintptr_t)reference->wr_object : (uintptr_t)key;
    if (task != (uintptr_t)Py_None)
        search->visit(search, task);
}

static void show_set(struct search *search, const PySetObject *address)
{
    const PySetObject *set = seen(&search->memory, address, sizeof *set);
    const setentry *table = set != NULL ? set->table : NULL;
    const size_t size = set != NULL ? (size_t)set->mask + 1 : 0;

    for (size_t i = 0; i < size && wants_more(search); i++) {
        const setentry *entry = seen(&search->memory, &table[i], sizeof *entry);
        if (entry == NULL)
            return;
        show_entry(search, entry->key);
    }
}

static void show_all(struct search *search)
{
    for (size_t i = 0; i < SETS; i++) {
        const PySetObject *set = atomic_load_explicit(&sets[i], memory_order_acquire);
        if (set != NULL)
            show_set(search, set);
    }
}

static bool is_learnt(void)
{
    return atomic_load_explicit(&awaiters.known, memory_order_acquire) &&
           atomic_load_explicit(&sets[0], memory_order_acquire) != NULL;
}

/* A set, or what a WeakSet keeps its references in; NULL: it is none. */
static PyObject *set_in(PyObject *module, const char *name)
{
    PyObject *found = PyObject_GetAttrString(module, name), *data;

    if (found == NULL || PySet_Check(found))
        return found;
    data = PyObject_GetAttrString(found, "data");
    Py_DECREF(found);
    if (data != NULL && !PySet_Check(data))
        Py_CLEAR(data);
    return data;
}

static void learn_sets(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    static const char *const names[SETS] = {"_scheduled_tasks", "_eager_tasks"};
#else
    static const char *const names[SETS] = {"_all_tasks", "_none"};
#endif
    PyObject *module = PyDict_GetItemString(PyImport_GetModuleDict(), "asyncio.tasks");

    for (size_t i = 0; module != NULL && i < SETS; i++) {
        PyObject *set = set_in(module, names[i]);
        if (set != NULL)
            atomic_store_explicit(&sets[i], (const PySetObject *)set, memory_order_release);
        PyErr_Clear();
    }
}

#endif

void tasks_learn(void)
{
    PyObject *module = awaiters_asyncio();

    if (module == NULL || is_learnt())
        return;
    if (!atomic_load_explicit(&awaiters.known, memory_order_acquire))
        awaiters_learn(module);
    PyErr_Clear();
    learn_sets();
    PyErr_Clear();
}

/* NULL: it can't begin. */
static struct search *search_new(void (*visit)(struct search *search, uintptr_t task))
{
    struct search *search = is_learnt() ? calloc(1, sizeof *search) : NULL;

    if (search == NULL) {
        /* Then it is to be learnt, at the interpreter's next good moment. */
        atomic_store_explicit(&awaiters.met, true, memory_order_relaxed);
        return NULL;
    }
    search->visit = visit;
    search->reader = (struct cprof_sleeper){.read = read_pages, .memory = &search->pages};
    copies_begin(&search->memory, &search->reader);
    return search;
}

static size_t search_end(struct search *search)
{
    const size_t count = search->count;

    free(search);
    return count;
}

size_t tasks_each(bool (*each)(void *closure, const struct cprof_task *task), void *closure,
                  bool twice)
{
    struct search *search = search_new(show_task);

    if (search == NULL)
        return 0;
    search->each = each;
    search->closure = closure;
    search->twice = twice;
    show_all(search);
    return search_end(search);
}

void tasks_count(struct cprof_population *population)
{
    struct search *search = search_new(count_task);

    if (search == NULL)
        return;
    show_all(search);
    const size_t count = search_end(search);
    population->tasks = (int64_t)(count < TASKS_MAX ? count : TASKS_MAX - 1);
}

/* ---- what they wait for ---- */

/* By the innermost function; without a name: any of the file's. gevent's switches are C code.
 */
static const struct {
    const char *name, *file;
    enum cprof_wait reason;
} waits[] = {
    {"sleep", "asyncio/tasks.py", CPROF_WAIT_SLEEP},
    {"Lock.acquire", "asyncio/locks.py", CPROF_WAIT_LOCK},
    {"Event.wait", "asyncio/locks.py", CPROF_WAIT_LOCK},
    {"Condition.wait", "asyncio/locks.py", CPROF_WAIT_LOCK},
    {"Semaphore.acquire", "asyncio/locks.py", CPROF_WAIT_LOCK},
    {"Barrier._block", "asyncio/locks.py", CPROF_WAIT_LOCK},
    {"Barrier._wait", "asyncio/locks.py", CPROF_WAIT_LOCK},
    {"Queue.put", "asyncio/queues.py", CPROF_WAIT_LOCK},
    {"Queue.join", "asyncio/queues.py", CPROF_WAIT_LOCK},
    {"Queue.get", "asyncio/queues.py", CPROF_WAIT_IDLE},
    {"StreamReader._wait_for_data", "asyncio/streams.py", CPROF_WAIT_IO},
    {"FlowControlMixin._drain_helper", "asyncio/streams.py", CPROF_WAIT_IO},
    {"BaseSelectorEventLoop.sock_recv", "asyncio/selector_events.py", CPROF_WAIT_IO},
    {"BaseSelectorEventLoop.sock_sendall", "asyncio/selector_events.py", CPROF_WAIT_IO},
    {"BaseSelectorEventLoop.sock_connect", "asyncio/selector_events.py", CPROF_WAIT_IO},
    {"BaseSelectorEventLoop.sock_accept", "asyncio/selector_events.py", CPROF_WAIT_IDLE},
    {"BaseEventLoop.getaddrinfo", "asyncio/base_events.py", CPROF_WAIT_IO},
    {"BaseSubprocessTransport._wait", "asyncio/base_subprocess.py", CPROF_WAIT_CHILD},
    {"StreamReader._wait", "aiohttp/streams.py", CPROF_WAIT_IO},
    {"Server.serve_forever", "asyncio/base_events.py", CPROF_WAIT_IDLE},
    {"sleep", "gevent/hub.py", CPROF_WAIT_SLEEP},
    {"Hub.run", "gevent/hub.py", CPROF_WAIT_IDLE},
    {"SocketMixin.accept", "gevent/_socketcommon.py", CPROF_WAIT_IDLE},
    {"socket.accept", "gevent/_socket3.py", CPROF_WAIT_IDLE},
    {NULL, "gevent/_socketcommon.py", CPROF_WAIT_IO},
    {NULL, "gevent/_socket3.py", CPROF_WAIT_IO},
    {NULL, "gevent/ssl.py", CPROF_WAIT_IO},
    {"Popen.wait", "gevent/subprocess.py", CPROF_WAIT_CHILD},
};

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), size = strlen(end);

    return length >= size && strcmp(text + length - size, end) == 0;
}

enum cprof_wait tasks_wait(const struct cprof_function *functions, size_t count)
{
    for (size_t i = 0; count > 0 && i < sizeof waits / sizeof waits[0]; i++)
        if ((waits[i].name == NULL || strcmp(functions[0].name, waits[i].name) == 0) &&
            ends_with(functions[0].file, waits[i].file))
            return waits[i].reason;
    return CPROF_WAIT_UNKNOWN;
}

#endif
