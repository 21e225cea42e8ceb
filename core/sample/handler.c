/* Handler code: runs inside the sampling signal's handler. See handler.h. */
#include "sample/handler.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "sample/threads.h"
#include "sample/wake.h"
#include "unwind/arch.h"

static _Atomic(const struct handler_view *) shown;

void handler_show(const struct handler_view *view)
{
    atomic_store(&shown, view);
}

/* Only the thread that owns the counter writes it. */
static void add(_Atomic uint64_t *counter, uint64_t amount)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + amount, memory_order_relaxed);
}

/* The native frames, and those of a runtime whose frames lie among them. */
static struct walk_result walk_native(const struct handler_view *view, struct thread *thread,
                                      const struct cprof_interrupted *interrupted,
                                      struct native_frame *native, struct cprof_frame *frames)
{
    struct walk_result result = {.end = WALK_BAD_STACK};
    const struct walk_room room = {.native = native,
                                   .native_capacity = view->max_frames,
                                   .stepped = frames,
                                   .stepped_capacity = view->max_frames,
                                   .bounds = &thread->bounds,
                                   .memory = &thread->ring->memory};
    if (walk_bounds(&thread->bounds, interrupted->registers.sp)) {
        const struct module_map *map = modules_enter(view->modules, &thread->reader);
        result = walk_frames(map, interrupted, view->runtime, &room);
        modules_leave(&thread->reader);
    }
    if (result.missed && !atomic_exchange(view->unknown, true))
        wake_post(view->wake);
    return result;
}

/* Takes one copy from what the collector allows; true when there was one. */
static bool take_copy(const struct handler_view *view)
{
    size_t left = atomic_load_explicit(view->copies, memory_order_relaxed);
    while (left > 0)
        if (atomic_compare_exchange_weak(view->copies, &left, left - 1))
            return true;
    return false;
}

/* Adds the registers and a piece of the stack behind the frames: see record.h. */
READS_STACK static void add_stack(struct record *record, const struct thread *thread,
                                  const void *ucontext)
{
    uint64_t *registers = (uint64_t *)record_registers(record);
    uint64_t *copy = registers + ARCH_REGISTERS;
    uintptr_t sp = (uintptr_t)record->sp;
    size_t used = (size_t)((char *)copy - (char *)record);
    size_t room = ring_room(thread->ring);
    if (sp % sizeof *copy != 0 || sp >= thread->bounds.high || room < used + sizeof *copy)
        return;
    size_t size = thread->bounds.high - sp;
    size = size < HANDLER_STACK_MAX ? size : HANDLER_STACK_MAX;
    size = (size < room - used ? size : room - used) & ~(sizeof *copy - 1);
    for (unsigned i = 0; i < ARCH_REGISTERS; i++)
        registers[i] =
            i == ARCH_DWARF_PC ? arch_pc(ucontext) : (uint64_t)arch_register(ucontext, i);
    const volatile uint64_t *stack = (const volatile uint64_t *)sp; /* no memcpy: sanitizers */
    for (size_t i = 0; i < size / sizeof *copy; i++)
        copy[i] = stack[i];
    record->stack_size = (uint32_t)size;
    record->size += (uint32_t)(ARCH_REGISTERS * sizeof *registers + size);
}

/* Fills a record that has room for max_frames of each kind. */
static void fill(struct record *record, const struct handler_view *view, struct thread *thread,
                 const void *ucontext)
{
    const struct cprof_runtime *runtime = view->runtime;
    const struct cprof_interrupted interrupted = {
        .ucontext = ucontext,
        .registers = walk_registers(ucontext),
        .thread_data = atomic_load_explicit(&thread->data, memory_order_acquire),
        .tid = thread->tid,
    };
    struct native_frame *native = (struct native_frame *)(record + 1);
    struct cprof_frame *frames = (struct cprof_frame *)(native + view->max_frames);
    struct walk_result walked = {.end = WALK_COMPLETE};
    if (view->native || (runtime != NULL && runtime->step != NULL))
        walked = walk_native(view, thread, &interrupted, native, frames);
    size_t native_count = view->native ? walked.native_count : 0;
    size_t frame_count = walked.stepped_count;
    bool complete = true;
    if (runtime != NULL && runtime->walk != NULL)
        frame_count += runtime->walk(&interrupted, frames + frame_count,
                                     view->max_frames - frame_count, &complete);
    /* Both lists were given room for the worst; in the record they adjoin. */
    memmove(native + native_count, frames, frame_count * sizeof *frames);

    record->context = (struct cprof_context){0};
    if (runtime != NULL && runtime->context != NULL &&
        !runtime->context(&interrupted, &record->context))
        record->context = (struct cprof_context){0};
    record->sp = interrupted.registers.sp;
    record->native_count = (uint16_t)native_count;
    record->frame_count = (uint16_t)frame_count;
    record->native_end = (uint8_t)walked.end;
    record->frames_complete = complete;
    record->reserved = 0;
    record->reserved_too = 0;
    record->stack_size = 0;
    record->size = (uint32_t)(sizeof *record + native_count * sizeof *native +
                              frame_count * sizeof *frames);
    if (native_count > 0 && walked.beyond && take_copy(view))
        add_stack(record, thread, ucontext);
}

/* The part of the thread's backlog that goes with this sample: half, so that what a thread ran
 * before it was found is spread over its first samples, and yet soon handed out. */
static uint32_t take_backlog(struct thread *thread)
{
    uint32_t backlog = atomic_load_explicit(&thread->backlog, memory_order_relaxed);
    uint32_t part = (backlog + 1) / 2;
    if (part != 0)
        atomic_store_explicit(&thread->backlog, backlog - part, memory_order_relaxed);
    return part;
}

static void take_sample(const struct handler_view *view, struct thread *thread, int overrun,
                        const void *ucontext)
{
    uint64_t begin = clock_ns(CLOCK_MONOTONIC);
    uint32_t weight = 1 + (overrun > 0 ? (uint32_t)overrun : 0) + take_backlog(thread);
    struct record *record = ring_reserve(thread->ring);
    if (record != NULL) {
        fill(record, view, thread, ucontext);
        record->time_ns = begin;
        record->weight = weight;
        /* A copied stack is large, and there are few: the ring is to be read soon. */
        bool large = record->stack_size != 0;
        if (ring_commit(thread->ring, record) || large)
            wake_post(view->wake);
    } else {
        add(&thread->counts.dropped, weight);
    }
    uint64_t took = clock_ns(CLOCK_MONOTONIC) - begin;
    add(&thread->counts.signals, 1);
    add(&thread->counts.overruns, weight - 1);
    add(&thread->counts.handler_ns, took);
    if (took > atomic_load_explicit(&thread->counts.handler_ns_max, memory_order_relaxed))
        atomic_store_explicit(&thread->counts.handler_ns_max, took, memory_order_relaxed);
}

void handler_on_signal(int signal, siginfo_t *info, void *ucontext)
{
    (void)signal;
    if (info->si_code != SI_TIMER)
        return;
    int saved = errno;
    uint64_t generation;
    struct thread *thread =
        threads_of_value((uint64_t)(uintptr_t)info->si_value.sival_ptr, &generation);
    /* First the mark, then the look: whoever takes the view or the generation away and finds
     * no mark afterwards knows that no handler has seen them. A count and not a flag, since
     * a signal that was queued for a thread before may name the same record. */
    atomic_fetch_add(&thread->handlers, 1);
    const struct handler_view *view = atomic_load(&shown);
    if (view != NULL && generation != 0 && generation == atomic_load(&thread->generation))
        take_sample(view, thread, info->si_overrun, ucontext);
    atomic_fetch_sub(&thread->handlers, 1);
    errno = saved;
}
