#include "fibers.h"

#include <stdatomic.h>
#include <stdbool.h>

#include <ruby.h>
#include <ruby/version.h>

static atomic_bool following;
static _Atomic int64_t alive;

void fibers_count(struct cprof_population *population)
{
    if (atomic_load(&following))
        population->fibers = atomic_load_explicit(&alive, memory_order_relaxed);
}

#if RUBY_API_VERSION_CODE < 30500

static rb_alloc_func_t original;
static const rb_data_type_t *rubys; /* what ours is derived from */
static rb_data_type_t ours;

static void free_counted(void *fiber)
{
    atomic_fetch_sub_explicit(&alive, 1, memory_order_relaxed);
    rubys->function.dfree(fiber);
}

static const rb_data_type_t *type_of(VALUE fiber)
{
    return RB_TYPE_P(fiber, RUBY_T_DATA) && RTYPEDDATA_P(fiber) ? RTYPEDDATA_TYPE(fiber) : NULL;
}

/* From one that is never begun. False: it is not as expected. */
static bool learn(VALUE class)
{
    const rb_data_type_t *type = type_of(original(class));
    if (type == NULL || type->function.dfree == NULL ||
        type->function.dfree == RUBY_DEFAULT_FREE)
        return false;
    rubys = type;
    ours = *type;
    ours.parent = type;
    ours.function.dfree = free_counted;
    return true;
}

/* What has no data, as it never was initialized, is freed without a word. */
static VALUE allocate_counted(VALUE class)
{
    VALUE fiber = original(class);
    if (type_of(fiber) == rubys) {
        *(const rb_data_type_t **)&RTYPEDDATA(fiber)->type = &ours;
        atomic_fetch_add_explicit(&alive, 1, memory_order_relaxed);
    }
    return fiber;
}

/* Before 3.2 an allocator is a method, and -w tells of one that takes another's place. */
void fibers_follow(void)
{
    VALUE verbose = ruby_verbose;
    if (atomic_load(&following))
        return;
    VALUE class = rb_path2class("Fiber");
    original = rb_get_alloc_func(class);
    if (original == NULL || !learn(class))
        return;
    ruby_verbose = Qnil;
    rb_define_alloc_func(class, allocate_counted);
    ruby_verbose = verbose;
    atomic_store(&following, true);
}

#else

void fibers_follow(void)
{
}

#endif
