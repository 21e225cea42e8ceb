/* Handler code. Who awaits a task, from 3.14 on: the thread's state and the futures tell. */
#include <internal/pycore_tstate.h>

struct tasks {
    char unused;
};

static const char *task_of(struct tasks *tasks, PyThreadState *state,
                           const PyGenObject *coroutine, struct readable *memory)
{
    const char *task = (const char *)((_PyThreadStateImpl *)state)->asyncio_running_task;

    (void)tasks;
    if (task == NULL)
        return NULL;
    if (!atomic_load_explicit(&awaiters.known, memory_order_acquire)) {
        atomic_store_explicit(&awaiters.met, true, memory_order_relaxed);
        return NULL;
    }
    if (!is_there(task, memory) ||
        field(task, awaiters.coroutine) != (const PyObject *)coroutine)
        return NULL;
    return task;
}

static const char *awaiter_of(const char *future, struct readable *memory)
{
    const char *by = (const char *)field(future, awaiters.awaited_by);

    return by != NULL && !future[awaiters.is_set] && is_there(by, memory) ? by : NULL;
}

static bool is_task(const char *future, struct readable *memory)
{
    (void)memory;
    return future[awaiters.is_task];
}
