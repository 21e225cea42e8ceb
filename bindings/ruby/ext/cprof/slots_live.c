/* Its hook runs inside Ruby's collector, where nothing may be allocated. See slots_live.h. */
#include "slots_live.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <ruby/debug.h>

#include <cprof/cprof.h>
#include <cprof/sample.h>

/* Exported by Ruby, and in no header: the one by 3.3, the other also by 3.4. */
__attribute__((weak)) int rb_objspace_marked_object_p(VALUE object);
__attribute__((weak)) size_t rb_obj_gc_flags(VALUE object, ID *flags, size_t most);

enum { OBJECTS_MOST = 65536, FLAGS_MOST = 16 };

struct object {
    VALUE value;
    uintptr_t number;
};

/* Under Ruby's own locks, as its collector and its hooks are. */
static struct {
    struct object *list; /* NULL: none are followed */
    size_t count;
    size_t collection; /* the last whose end was told of */
    uintptr_t number;  /* of the object that is taken */
} live;

static ID marked;
static const size_t list_size = OBJECTS_MOST * sizeof *live.list;

/* Addresses end below that bit. */
#define NUMBERS (UINT64_C(1) << 63)
#define NUMBER_STEP 16

/* ---- the list ---- */

static void forget_all(void)
{
    for (size_t i = 0; i < live.count; i++)
        cprof_freed((const void *)live.list[i].number);
    live.count = 0;
}

const void *slots_live_number(void)
{
    if (live.list == NULL || live.count == OBJECTS_MOST)
        return CPROF_BLOCK_UNKNOWN;
    live.number = (live.number + NUMBER_STEP) | NUMBERS;
    return (const void *)live.number;
}

/* One that was allocated amid a collection is of the last whose end is not told yet. */
void slots_live_add(VALUE object)
{
    if (live.count == 0)
        live.collection = rb_gc_count();
    live.list[live.count++] = (struct object){object, live.number};
}

/* ---- in the collector ---- */

static bool is_marked(VALUE object)
{
    if (rb_objspace_marked_object_p != NULL)
        return rb_objspace_marked_object_p(object) != 0;
    ID flags[FLAGS_MOST];
    size_t count = rb_obj_gc_flags(object, flags, FLAGS_MOST);
    for (size_t i = 0; i < count; i++)
        if (flags[i] == marked)
            return true;
    return false;
}

/* Did the core drop some, as there were too many? */
static void drop_unlisted(void)
{
    size_t kept = 0;
    for (size_t i = 0; i < live.count; i++)
        if (cprof_is_listed((const void *)live.list[i].number))
            live.list[kept++] = live.list[i];
    live.count = kept;
}

static void drop_unmarked(void)
{
    size_t kept = 0;
    for (size_t i = 0; i < live.count; i++) {
        if (is_marked(live.list[i].value))
            live.list[kept++] = live.list[i];
        else
            cprof_freed((const void *)live.list[i].number);
    }
    live.count = kept;
}

static void on_marked(VALUE unused, const rb_trace_arg_t *event)
{
    (void)unused;
    (void)event;
    size_t collection = rb_gc_count();
    if (live.count == 0)
        return;
    if (collection - live.collection > 1)
        forget_all();
    live.collection = collection;
    drop_unmarked();
    if (live.count > OBJECTS_MOST / 2)
        drop_unlisted();
}

static void on_moved(void *unused)
{
    (void)unused;
    if (live.count > 0 && rb_gc_count() != live.collection)
        forget_all();
    for (size_t i = 0; i < live.count; i++)
        live.list[i].value = rb_gc_location(live.list[i].value);
}

static const rb_data_type_t moved_type = {.wrap_struct_name = "cprof/slots",
                                          .function = {.dcompact = on_moved}};

/* ---- in and out ---- */

/* Ruby calls what is RAW by this type, whatever the header says of it. */
static rb_event_hook_func_t hook_function(void)
{
    void (*hook)(VALUE, const rb_trace_arg_t *) = on_marked;
    rb_event_hook_func_t function;
    memcpy(&function, &hook, sizeof function);
    return function;
}

/* The first call of rb_obj_gc_flags() allocates, which the collector must not. */
bool slots_live_init(void)
{
    if (!SLOTS_FOLLOWED || (rb_objspace_marked_object_p == NULL && rb_obj_gc_flags == NULL))
        return false;
    marked = rb_intern("marked");
    ID flags[FLAGS_MOST];
    return rb_obj_gc_flags == NULL || rb_obj_gc_flags(rb_cObject, flags, FLAGS_MOST) > 0;
}

static void make_list(void)
{
    static bool compacts;
    if (live.list != NULL || !cprof_lists_blocks() || !cprof_memory_take(list_size))
        return;
    void *list = mmap(NULL, list_size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (list == MAP_FAILED) {
        cprof_memory_give(list_size);
        return;
    }
    if (!compacts)
        rb_gc_register_mark_object(rb_data_typed_object_wrap(0, &live, &moved_type));
    compacts = true;
    live.list = list;
}

/* Anew each time: Ruby may have lost it. */
void slots_live_begin(void)
{
    make_list();
    if (live.list == NULL)
        return;
    rb_remove_event_hook_with_data(hook_function(), Qnil);
    rb_add_event_hook2(hook_function(), RUBY_INTERNAL_EVENT_GC_END_MARK, Qnil,
                       RUBY_EVENT_HOOK_FLAG_RAW_ARG | RUBY_EVENT_HOOK_FLAG_SAFE);
}

void slots_live_end(void)
{
    if (live.list == NULL)
        return;
    rb_remove_event_hook_with_data(hook_function(), Qnil);
    munmap(live.list, list_size);
    live.list = NULL;
    live.count = 0;
    cprof_memory_give(list_size);
}
