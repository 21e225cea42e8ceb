/*
 * Handler code. The coroutines that wait for the running task (awaiters.h) stand behind its
 * own, as if they had called it. They are suspended: nothing runs in them while their task
 * waits.
 */
#include "awaiters.h"
#include "walk_generators.h"

enum { AWAITERS_MAX = 32 /* tasks and futures, one awaited by the next */ };

/* Is all of a future there, as far as tasks and futures are alike? */
static bool is_there(const char *future, struct readable *memory)
{
    return readable(memory, future, awaiters.size);
}

static const PyObject *field(const char *future, uint32_t offset)
{
    return *(PyObject *const *)(future + offset);
}

/* Each defines struct tasks, which starts as zeros and lives as long as the walk, and
 *   task_of():    the running task whose own coroutine it is; NULL: none, or not known;
 *   awaiter_of(): the one task or future that waits for a future; NULL: none, or several: for
 *                 which of them it works can't be told;
 *   is_task():    of what awaiter_of() gave. */
#if PY_VERSION_HEX >= 0x030E0000
#include "walk_awaited_314.h"
#else
#include "walk_awaited_310.h"
#endif

/* The frames of a suspended coroutine and of those that it awaits, innermost first. Returns how
 * many frames there are then. */
static size_t push_coroutines(const PyGenObject *coroutine, struct cprof_frame *frames,
                              size_t count, size_t capacity, struct readable *memory)
{
    const size_t first = count;
    struct raw_frame raw;

    while (count < capacity && coroutine != NULL && suspended_read(coroutine, &raw, memory)) {
        frames[count++] = python_frame(&raw);
        coroutine = awaited_by(coroutine, memory);
    }
    for (size_t low = first, high = count; low + 1 < high; low++, high--) {
        const struct cprof_frame frame = frames[low];
        frames[low] = frames[high - 1];
        frames[high - 1] = frame;
    }
    return count;
}

/* Where a run's outermost frame is that of a task's own coroutine, adds the frames of those
 * that await the task. Returns how many frames there are then. */
static size_t push_awaiters(struct tasks *tasks, PyThreadState *state, const void *outermost,
                            struct cprof_frame *frames, size_t count, size_t capacity,
                            struct readable *memory)
{
    const PyGenObject *generator = generator_of(outermost, memory);
    const char *future = generator ? task_of(tasks, state, generator, memory) : NULL;

    for (int hops = 0; future != NULL && hops < AWAITERS_MAX; hops++) {
        future = awaiter_of(future, memory);
        if (future != NULL && is_task(future, memory))
            count = push_coroutines(as_generator(field(future, awaiters.coroutine), memory),
                                    frames, count, capacity, memory);
    }
    return count;
}
