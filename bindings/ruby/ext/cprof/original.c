#include "original.h"

#include <unistd.h>

/* Method objects. */
static VALUE list, name, native_id, handle_interrupt;
static VALUE never; /* {Object => :never} */

static void keep(VALUE *place, VALUE object)
{
    rb_gc_register_mark_object(object);
    *place = object;
}

/* UnboundMethod#bind_call of an instance method: to be called with the thread. */
static VALUE of_threads(const char *method)
{
    VALUE unbound =
        rb_funcall(rb_cThread, rb_intern("instance_method"), 1, ID2SYM(rb_intern(method)));
    return rb_obj_method(unbound, ID2SYM(rb_intern("bind_call")));
}

void original_init(void)
{
    keep(&list, rb_obj_method(rb_cThread, ID2SYM(rb_intern("list"))));
    keep(&never, rb_hash_new());
    rb_hash_aset(never, rb_cObject, ID2SYM(rb_intern("never")));
    keep(&handle_interrupt, rb_obj_method(rb_cThread, ID2SYM(rb_intern("handle_interrupt"))));
    keep(&name, of_threads("name"));
    keep(&native_id, of_threads("native_thread_id"));
}

VALUE original_thread_list(void)
{
    return rb_method_call(0, NULL, list);
}

VALUE original_thread_name(VALUE thread)
{
    return rb_method_call(1, &thread, name);
}

/* Of the main thread Ruby 3.1 has the parent's in a forked child. */
VALUE original_thread_native_id(VALUE thread)
{
    if (thread == rb_thread_main())
        return INT2NUM(getpid());
    return rb_method_call(1, &thread, native_id);
}

struct call {
    void (*function)(void *);
    void *argument;
};

static VALUE do_call(RB_BLOCK_CALL_FUNC_ARGLIST(unused, data))
{
    const struct call *call = (const struct call *)data;
    (void)unused;
    (void)argc;
    (void)argv;
    (void)blockarg;
    call->function(call->argument);
    return Qnil;
}

void original_uninterrupted(void (*function)(void *), void *argument)
{
    struct call call = {.function = function, .argument = argument};
    rb_method_call_with_block(1, &never, handle_interrupt, rb_proc_new(do_call, (VALUE)&call));
}
