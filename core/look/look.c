#include "look/look.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "look/kernel.h"
#include "sample/take.h"
#include "sample/timer.h"
#include "unwind/copied.h"

struct looker {
    struct looker_config config;
    size_t held; /* bytes of the budget */
    enum kernel_word word;
    struct copied copied;
    struct walk_memory memory;
    struct record record; /* and the room behind it, for max_frames of each kind */
};

struct looker *looker_new(const struct looker_config *config)
{
    size_t size = sizeof(struct looker) + take_record_max(config->max_frames);
    if (!budget_take(config->budget, size))
        return NULL;
    struct looker *looker = calloc(1, size);
    if (looker == NULL) {
        budget_give(config->budget, size);
        return NULL;
    }
    looker->config = *config;
    looker->word = config->kernel ? kernel_word() : KERNEL_SILENT;
    looker->held = size;
    return looker;
}

void looker_free(struct looker *looker)
{
    if (looker == NULL)
        return;
    budget_give(looker->config.budget, looker->held);
    free(looker);
}

static bool read_copied(const struct cprof_sleeper *sleeper, uintptr_t from, void *to,
                        size_t size)
{
    return copied_read(sleeper->memory, from, to, size);
}

/* The kernel's frames lie on no stack of the thread's: none of its addresses is theirs. */
static size_t add_kernel(const struct looker *looker, const struct cprof_sleeper *sleeper,
                         struct native_frame *native)
{
    uintptr_t functions[KERNEL_FRAMES_MAX];
    if (looker->word == KERNEL_SILENT)
        return 0;
    size_t count = kernel_functions(sleeper->tid, looker->word, functions,
                                    kernel_frames_room(looker->config.max_frames));
    for (size_t i = 0; i < count; i++)
        native[i] = (struct native_frame){.pc = functions[i], .cfa = sleeper->registers.sp};
    return count;
}

/* The runtime's entries; NULL: it has none. */
static const struct cprof_asleep *asleep_of(const struct looker *looker)
{
    const struct cprof_runtime *runtime = looker->config.runtime;
    return runtime != NULL ? runtime->asleep : NULL;
}

/* The native frames and those of the runtime among them. Native ones are none where they are
 * not wanted, and their end is as if they were whole. */
static struct walk_result walk_native(struct looker *looker, const struct module_map *map,
                                      const struct cprof_sleeper *sleeper,
                                      struct native_frame *native, size_t capacity,
                                      struct cprof_frame *frames)
{
    const struct cprof_asleep *asleep = asleep_of(looker);
    walk_step_asleep *step = asleep != NULL ? asleep->step : NULL;
    const struct walk_room room = {.native = native,
                                   .native_capacity = capacity,
                                   .stepped = frames,
                                   .stepped_capacity = looker->config.max_frames,
                                   .memory = &looker->memory};
    struct walk_result walked = {.end = WALK_COMPLETE};
    if (sleeper->registers.pc == 0)
        return walked;
    if (looker->config.native || step != NULL)
        walked = walk_asleep(map, sleeper, step, &room, &looker->copied);
    if (!looker->config.native) {
        walked.native_count = 0;
        walked.end = WALK_COMPLETE;
    }
    return walked;
}

/* What the runtime says of the thread. Its frames go behind the `count` that there are; returns
 * how many there are then. */
static size_t ask_runtime(struct looker *looker, const struct cprof_sleeper *sleeper,
                          struct cprof_frame *frames, size_t count, struct wait *wait)
{
    const struct cprof_asleep *asleep = asleep_of(looker);
    struct record *record = &looker->record;
    bool complete = true;
    enum cprof_wait lock = CPROF_WAIT_UNKNOWN;
    pid_t holder = 0;
    record->frames_complete = true;
    record->context = (struct cprof_context){0};
    if (asleep == NULL)
        return count;
    if (asleep->walk != NULL)
        count +=
            asleep->walk(sleeper, frames + count, looker->config.max_frames - count, &complete);
    record->frames_complete = complete;
    if (asleep->context != NULL && !asleep->context(sleeper, &record->context))
        record->context = (struct cprof_context){0};
    if (sleeper->futex != 0 && asleep->interpreter_lock != NULL)
        lock = asleep->interpreter_lock(sleeper, &holder);
    if (lock != CPROF_WAIT_UNKNOWN)
        *wait = (struct wait){.state = WAIT_WAITING, .reason = lock, .holder = holder};
    return count;
}

static void fill(struct looker *looker, const struct module_map *map,
                 const struct cprof_sleeper *sleeper, struct wait *wait)
{
    struct record *record = &looker->record;
    const size_t most = looker->config.max_frames;
    struct native_frame *native = (struct native_frame *)(record + 1);
    struct cprof_frame *frames = (struct cprof_frame *)(native + most);
    size_t native_count = add_kernel(looker, sleeper, native);
    const struct walk_result walked =
        walk_native(looker, map, sleeper, native + native_count, most - native_count, frames);
    native_count += walked.native_count;
    size_t frame_count = ask_runtime(looker, sleeper, frames, walked.stepped_count, wait);
    /* Both lists were given room for the worst; in the record they adjoin. */
    memmove(native + native_count, frames, frame_count * sizeof *frames);
    record->native_end = (uint8_t)walked.end;
    record->native_count = (uint16_t)native_count;
    record->frame_count = (uint16_t)frame_count;
    record->sp = sleeper->registers.sp;
    record->time_ns = clock_ns(CLOCK_MONOTONIC);
    record->weight = 0;
    record->source = SOURCE_OFFCPU;
    record->stack_size = 0;
    record->size = (uint32_t)((const char *)(record_frames(record) + record->frame_count) -
                              (const char *)record);
}

static bool has_stood(const struct cprof_sleeper *sleeper)
{
    return thread_ran_ns(sleeper->tid) == sleeper->ran_ns;
}

static enum look_end end_of(int error)
{
    switch (error) {
    case -EAGAIN:
        return LOOK_RUNNING;
    case -ESRCH:
        return LOOK_GONE;
    default:
        return LOOK_REFUSED;
    }
}

static bool sees_frames_alone(const struct cprof_runtime *runtime)
{
    return runtime != NULL && runtime->asleep != NULL && runtime->asleep->walk != NULL;
}

/* What the kernel says of the thread, as far as it says anything: without a word for where it
 * sleeps, pc and stack pointer are 0. */
static int ask_kernel(const struct looker *looker, pid_t tid, struct kernel_asleep *asleep,
                      struct wait *wait)
{
    char function[KERNEL_NAME_SIZE];
    int error = kernel_asleep(tid, asleep);
    if (error == 0 || error == -EAGAIN || !sees_frames_alone(looker->config.runtime))
        return error;
    error = kernel_sleeps(tid, function);
    *asleep = (struct kernel_asleep){.call = KERNEL_NO_WORD};
    if (error == 0)
        *wait = wait_of_function(function);
    return error;
}

enum look_end look_take(struct looker *looker, const struct module_map *map,
                        const struct thread_view *thread, uint64_t cpu_ns, uintptr_t *kept,
                        const struct record **record, struct wait *wait)
{
    struct kernel_asleep asleep;
    pid_t tid = thread->thread->tid;
    int error = ask_kernel(looker, tid, &asleep, wait);
    if (error != 0)
        return end_of(error);
    const struct cprof_sleeper sleeper = {
        .tid = tid,
        .id = thread->id,
        .thread_data = atomic_load_explicit(&thread->thread->data, memory_order_acquire),
        .registers = asleep.at,
        .kept = kept,
        .futex = wait_futex(&asleep),
        .ran_ns = cpu_ns,
        .read = read_copied,
        .memory = &looker->copied,
        .stood = has_stood};
    copied_begin(&looker->copied, asleep.at.sp);
    if (asleep.call != KERNEL_NO_WORD)
        *wait = wait_of(&asleep, &looker->copied);
    fill(looker, map, &sleeper, wait);
    *record = &looker->record;
    return has_stood(&sleeper) ? LOOK_TAKEN : LOOK_TORN;
}

int look_is_possible_without_stack(const struct cprof_runtime *runtime)
{
    char function[KERNEL_NAME_SIZE];
    if (!sees_frames_alone(runtime))
        return -ENOTSUP;
    const int error = kernel_sleeps((pid_t)syscall(SYS_gettid), function);
    return error == -EAGAIN ? 0 : error; /* of itself a thread reads that it runs */
}

/* Of itself a thread reads that it is in read(2). */
int look_is_possible(void)
{
#if defined(__x86_64__)
    struct kernel_asleep asleep;
    int error = kernel_asleep((pid_t)syscall(SYS_gettid), &asleep);
    return error == -ESRCH ? -ENOENT : error;
#else
    return -ENOTSUP; /* a walk without the link register has not been tried */
#endif
}
