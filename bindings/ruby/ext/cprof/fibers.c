#include "fibers.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include <ruby.h>
#include <ruby/version.h>

#include <cprof/addresses.h>
#include <cprof/readable.h>

#include "copied.h"
#include "walk_frames.h"

enum { FIBER_FRAMES = 256, FRAMES_MAX = 1 << 16 };

static struct cprof_addresses all = CPROF_ADDRESSES_INIT; /* objects, as they lie now */
static atomic_bool following;

/* Where things are in a fiber's data; known where `following`. */
static ptrdiff_t self_at, context_at;

void fibers_count(struct cprof_population *population)
{
    if (atomic_load(&following))
        population->fibers = (int64_t)cprof_addresses_count(&all);
}

void fibers_fork_lock(void)
{
    cprof_addresses_lock(&all);
}

void fibers_fork_unlock(void)
{
    cprof_addresses_unlock(&all);
}

#if RUBY_API_VERSION_CODE < 30500

/* ---- which there are ---- */

static rb_alloc_func_t original;
static const rb_data_type_t *rubys; /* what ours is derived from */
static rb_data_type_t ours;
static VALUE probe; /* learn()'s own, while it is nobody's */

static VALUE object_of(const void *fiber)
{
    return *(const VALUE *)((const char *)fiber + self_at);
}

static void free_counted(void *fiber)
{
    cprof_addresses_remove(&all, object_of(fiber));
    rubys->function.dfree(fiber);
}

/* The object may have moved. */
static void compact_counted(void *fiber)
{
    const VALUE before = object_of(fiber);
    if (rubys->function.dcompact != NULL)
        rubys->function.dcompact(fiber);
    if (object_of(fiber) == before)
        return;
    cprof_addresses_remove(&all, before);
    cprof_addresses_add(&all, object_of(fiber));
}

static const rb_data_type_t *type_of(VALUE fiber)
{
    return RB_TYPE_P(fiber, RUBY_T_DATA) && RTYPEDDATA_P(fiber) ? RTYPEDDATA_TYPE(fiber) : NULL;
}

/* Its data leads back to the object, and holds an execution context that names the fiber and,
 * behind it, the thread. */
static bool learn_places(VALUE fiber)
{
    enum { WORDS = 64, FIBER_AT = EC_THREAD - (int)sizeof(uintptr_t) };
    const uintptr_t *words = RTYPEDDATA_DATA(fiber);
    const uintptr_t thread = (uintptr_t)layout_thread(rb_thread_current());
    for (ptrdiff_t i = 0; i < WORDS && self_at == 0; i++)
        if (words[i] == (uintptr_t)fiber)
            self_at = i * (ptrdiff_t)sizeof *words;
    for (ptrdiff_t i = FIBER_AT / (ptrdiff_t)sizeof *words; i < WORDS && context_at == 0; i++)
        if (words[i] == (uintptr_t)words && words[i + 1] == thread)
            context_at = i * (ptrdiff_t)sizeof *words - FIBER_AT;
    return self_at != 0 && context_at != 0;
}

static VALUE nothing(RB_BLOCK_CALL_FUNC_ARGLIST(first, unused))
{
    (void)unused;
    return first;
}

/* From one that is never begun. False: it is not as expected. */
static bool learn(void)
{
    VALUE fiber = probe = rb_fiber_new(nothing, Qnil);
    const rb_data_type_t *type = type_of(fiber);
    if (type == NULL || type->function.dfree == NULL ||
        type->function.dfree == RUBY_DEFAULT_FREE || !learn_places(fiber))
        return false;
    rubys = type;
    ours = *type;
    ours.parent = type;
    ours.function.dfree = free_counted;
    ours.function.dcompact = compact_counted;
    RB_GC_GUARD(fiber);
    return true;
}

static void note(VALUE fiber)
{
    *(const rb_data_type_t **)&RTYPEDDATA(fiber)->type = &ours;
    cprof_addresses_add(&all, fiber);
}

/* What has no data, as it never was initialized, is freed without a word. */
static VALUE allocate_counted(VALUE class)
{
    VALUE fiber = original(class);
    if (type_of(fiber) == rubys)
        note(fiber);
    return fiber;
}

/* As Ruby's own extensions go through the heap: ObjectSpace.each_object may be redefined. */
__attribute__((weak)) void rb_objspace_each_objects(int (*visit)(void *start, void *end,
                                                                 size_t size, void *data),
                                                    void *data);

/* The slots of a page; those that are free have another type. */
static int note_old(void *start, void *end, size_t size, void *unused)
{
    (void)unused;
    for (char *slot = start; slot < (char *)end; slot += size) {
        const VALUE object = (VALUE)slot;
        if (object != probe && type_of(object) == rubys && RTYPEDDATA_DATA(object) != NULL)
            note(object);
    }
    return 0;
}

/* Before 3.2 an allocator is a method, and -w tells of one that takes another's place. */
void fibers_follow(void)
{
    VALUE verbose = ruby_verbose;
    if (atomic_load(&following))
        return;
    VALUE class = rb_path2class("Fiber");
    original = rb_get_alloc_func(class);
    if (original == NULL || !learn())
        return;
    ruby_verbose = Qnil;
    rb_define_alloc_func(class, allocate_counted);
    ruby_verbose = verbose;
    if (rb_objspace_each_objects != NULL)
        rb_objspace_each_objects(note_old, NULL);
    atomic_store(&following, true);
}

/* ---- their stacks ---- */

/* The execution context of one that is suspended; 0: it has none, or runs. */
static uintptr_t suspended(struct reader *reader, uintptr_t fiber)
{
    struct RTypedData data;
    if (!copy(reader, (const void *)fiber, &data, sizeof data) || data.type != &ours ||
        data.data == NULL)
        return 0;
    const uintptr_t context = (uintptr_t)data.data + (uintptr_t)context_at;
    const uintptr_t thread = word(reader, context, EC_THREAD);
    const uintptr_t runs = thread != 0 ? word(reader, thread, layout.thread_ec) : 0;
    return runs != context ? context : 0;
}

/* False: no more are wanted. */
static bool show(const struct cprof_sleeper *sleeper, uintptr_t fiber,
                 bool (*each)(void *closure, const struct cprof_task *task), void *closure)
{
    struct cprof_frame out[FIBER_FRAMES];
    struct reader reader = {.sleeper = sleeper};
    struct frames frames;
    struct cprof_task task = {
        .kind = CPROF_FIBER, .id = fiber, .name = "", .frames = out, .waits = true};
    bool complete = true;
    if (!find_frames(&reader, suspended(&reader, fiber), &frames) || frames.count > FRAMES_MAX)
        return true;
    if (rb_during_gc())
        frames.gc_count = rb_gc_count();
    task.count = write_frames(&reader, &frames, 0, out, 0, FIBER_FRAMES, &complete);
    for (size_t i = 0; i < task.count; i++)
        out[i].stack = CPROF_STACK_INHERIT; /* there are no native frames beside them */
    return reader.failed || task.count == 0 || each(closure, &task);
}

static bool read_copy(const struct cprof_sleeper *reader, uintptr_t from, void *to, size_t size)
{
    (void)reader;
    return cprof_read_all(to, from, size);
}

void fibers_each(bool (*each)(void *closure, const struct cprof_task *task), void *closure)
{
    const struct cprof_sleeper reader = {.read = read_copy};
    size_t count = 0;
    uintptr_t *list =
        atomic_load(&following) && layout.trusted ? cprof_addresses_copy(&all, &count) : NULL;
    for (size_t i = 0; i < count && show(&reader, list[i], each, closure); i++)
        continue;
    free(list);
}

#else

void fibers_follow(void)
{
}

void fibers_each(bool (*each)(void *closure, const struct cprof_task *task), void *closure)
{
    (void)each, (void)closure;
}

#endif
