/* Handler code: runs inside the sampling signal's handler. See take.h. */
#include "sample/take.h"

#include <string.h>

#include "base/clock.h"
#include "sample/kernel_ring.h"
#include "sample/keys.h"
#include "sample/live.h"
#include "sample/threads.h"
#include "sample/wake.h"
#include "unwind/arch.h"

static _Atomic(const struct take_view *) shown;

void take_show(const struct take_view *view)
{
    if (view != NULL)
        keys_detect();
    atomic_store(&shown, view);
}

const struct take_view *take_seen(void)
{
    return atomic_load(&shown);
}

/* The native frames, and those of a runtime whose frames lie among them. */
static struct walk_result walk_native(const struct take_view *view, struct thread *thread,
                                      struct walk_memory *memory,
                                      const struct cprof_interrupted *interrupted,
                                      struct native_frame *native, struct cprof_frame *frames)
{
    struct walk_result result = {.end = WALK_BAD_STACK};
    const struct walk_room room = {.native = native,
                                   .native_capacity = view->max_frames,
                                   .stepped = frames,
                                   .stepped_capacity = view->max_frames,
                                   .bounds = &thread->bounds,
                                   .memory = memory};
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
static bool take_copy(const struct take_view *view)
{
    size_t left = atomic_load_explicit(view->copies, memory_order_relaxed);
    while (left > 0)
        if (atomic_compare_exchange_weak(view->copies, &left, left - 1))
            return true;
    return false;
}

/* Adds the registers and a piece of the stack behind the frames: see record.h. */
READS_STACK static void add_stack(struct record *record, const struct ring *ring,
                                  const struct thread *thread, const void *ucontext)
{
    uint64_t *registers = (uint64_t *)record_registers(record);
    uint64_t *copy = registers + ARCH_REGISTERS;
    uintptr_t sp = (uintptr_t)record->sp;
    size_t used = (size_t)((char *)copy - (char *)record);
    size_t room = ring_room(ring);
    if (sp % sizeof *copy != 0 || sp >= thread->bounds.high || room < used + sizeof *copy)
        return;
    size_t size = thread->bounds.high - sp;
    size = size < TAKE_STACK_MAX ? size : TAKE_STACK_MAX;
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

/* Puts the kernel's frames before the native ones; those that have no room any more are the
 * outermost. They lie on no stack of the thread's. Returns how many there are now. */
static size_t put_kernel(const struct take_view *view, const struct take_point *point,
                         struct native_frame *native, size_t native_count,
                         struct walk_result *walked)
{
    size_t room = kernel_frames_room(view->max_frames), count = point->kernel->count;
    count = count < room ? count : room;
    if (native_count + count > view->max_frames) {
        native_count = view->max_frames - count;
        walked->end = WALK_FULL;
    }
    memmove(native + count, native, native_count * sizeof *native);
    for (size_t i = 0; i < count; i++)
        native[i] = (struct native_frame){.pc = point->kernel->functions[i],
                                          .cfa = point->registers.sp};
    return native_count + count;
}

/* Fills a record of the ring, that has room for max_frames of each kind. */
static void fill(struct record *record, struct ring *ring, const struct take_view *view,
                 struct thread *thread, const struct take_point *point)
{
    const struct cprof_runtime *runtime = view->runtime;
    const struct cprof_interrupted interrupted = {
        .ucontext = point->ucontext,
        .registers = point->registers,
        .thread_data = atomic_load_explicit(&thread->data, memory_order_acquire),
        .tid = thread->tid,
    };
    struct native_frame *native = (struct native_frame *)(record + 1);
    struct cprof_frame *frames = (struct cprof_frame *)(native + view->max_frames);
    struct walk_result walked = {.end = WALK_COMPLETE};
    const bool keep = view->native && !point->interpreted;
    if (keep || (runtime != NULL && runtime->step != NULL))
        walked = walk_native(view, thread, &ring->memory, &interrupted, native, frames);
    size_t own_count = keep ? walked.native_count : 0, native_count = own_count;
    size_t frame_count = walked.stepped_count;
    bool complete = true;
    if (runtime != NULL && runtime->walk != NULL)
        frame_count += runtime->walk(&interrupted, frames + frame_count,
                                     view->max_frames - frame_count, &complete);
    if (point->kernel != NULL)
        native_count = put_kernel(view, point, native, own_count, &walked);
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
    record->stack_size = 0;
    record->size = (uint32_t)(sizeof *record + native_count * sizeof *native +
                              frame_count * sizeof *frames);
    if (own_count > 0 && point->ucontext != NULL && walked.beyond && take_copy(view))
        add_stack(record, ring, thread, point->ucontext);
}

enum take_result take_sample(const struct take_view *view, struct thread *thread,
                             const struct take *take, const struct take_point *point)
{
    bool wake, listed = false;
    struct ring *ring = lease_use(&thread->lease, &threads_shelf, &wake);
    struct record *record = ring != NULL ? ring_reserve(ring) : NULL;
    if (record != NULL) {
        uint32_t rights = keys_open();
        fill(record, ring, view, thread, point);
        keys_close(rights);
        const struct live_place place = live_add(take->block);
        record->block = place.block;
        record->kind = take->kind;
        listed = place.block != 0;
        record->block_shift = place.shift;
        record->amount = take->amount;
        record->period = take->period;
        record->lock = take->lock;
        record->holder = take->holder;
        record->time_ns = take->time_ns;
        record->weight = take->weight;
        record->source = (uint8_t)take->source;
        /* A copied stack is large, and there are few: the ring is to be read soon. */
        bool large = record->stack_size != 0;
        wake |= ring_commit(ring, record) || large;
    }
    if (wake)
        wake_post(view->wake);
    if (record == NULL)
        return TAKE_LOST;
    return listed ? TAKE_LISTED : TAKE_DONE;
}
