#include "spans.h"

#include <stdbool.h>
#include <string.h>

#include <ruby.h>
#include <ruby/debug.h>

#include <cprof/cprof.h>

#include "context.h"

/* Where the API keeps a fiber's stack of contexts. */
enum storage {
    STORAGE_UNKNOWN, /* nothing has been attached yet since we look */
    STORAGE_FIBER,   /* since 1.5 */
    STORAGE_THREAD,  /* before */
    STORAGE_FOREIGN, /* somewhere else: Context.current is asked */
};

/* What of the API was found. */
static struct {
    VALUE context;      /* OpenTelemetry::Context; 0 = not found yet */
    VALUE span_context; /* OpenTelemetry::Trace::SpanContext */
    VALUE span_key;     /* of a context's entries; 0 = there is none by that name */
    VALUE spans;        /* Cprof::Spans */
    enum storage storage;
    bool profile_ids; /* root spans get the attribute profile.id */
} api;

static struct {
    ID fiber_stack, thread_stack, current, entries, context, trace_id, span_id, trace_flags,
        flags, ask, tell;
} ids;

static VALUE last_of(VALUE stack)
{
    return RB_TYPE_P(stack, T_ARRAY) ? rb_ary_entry(stack, -1) : Qnil;
}

static VALUE last_in(enum storage storage)
{
    return last_of(storage == STORAGE_FIBER
                       ? rb_attr_get(rb_fiber_current(), ids.fiber_stack)
                       : rb_thread_local_aref(rb_thread_current(), ids.thread_stack));
}

/* The running fiber's context, or nil; where it is to be found in a storage of the API's. */
static VALUE stored_context(void)
{
    if (api.storage != STORAGE_UNKNOWN)
        return last_in(api.storage);
    VALUE context = last_in(STORAGE_FIBER);
    return NIL_P(context) ? last_in(STORAGE_THREAD) : context;
}

static VALUE current_context(void)
{
    return api.storage == STORAGE_FOREIGN ? rb_funcall(api.context, ids.current, 0)
                                          : stored_context();
}

/* A context has just been attached: where is it now? */
static void learn_storage(VALUE context)
{
    api.storage = last_in(STORAGE_FIBER) == context    ? STORAGE_FIBER
                  : last_in(STORAGE_THREAD) == context ? STORAGE_THREAD
                                                       : STORAGE_FOREIGN;
}

static bool copy_id(VALUE id, uint8_t *to, size_t size)
{
    if (!RB_TYPE_P(id, T_STRING) || (size_t)RSTRING_LEN(id) != size)
        return false;
    memcpy(to, RSTRING_PTR(id), size);
    return true;
}

static uint8_t read_flags(VALUE span_context)
{
    VALUE flags = rb_attr_get(rb_attr_get(span_context, ids.trace_flags), ids.flags);
    return RB_FIXNUM_P(flags) ? (uint8_t)FIX2ULONG(flags) : 0;
}

/* Of a context as the API makes it. False when this is none, or its span is not one. */
static bool read_span(VALUE context, struct cprof_span *span)
{
    if (rb_obj_class(context) != api.context || api.span_key == 0)
        return false;
    VALUE entries = rb_attr_get(context, ids.entries);
    if (!RB_TYPE_P(entries, T_HASH))
        return false;
    VALUE active = rb_hash_lookup(entries, api.span_key);
    if (NIL_P(active))
        return true;
    VALUE span_context = rb_attr_get(active, ids.context);
    if (rb_obj_class(span_context) != api.span_context)
        return false;
    span->flags = read_flags(span_context);
    return copy_id(rb_attr_get(span_context, ids.trace_id), span->trace_id, 16) &&
           copy_id(rb_attr_get(span_context, ids.span_id), span->span_id, 8);
}

/* Of any other: Cprof::Spans.ids_of() runs whatever code it brings. False when it failed. */
static bool ask_for_span(VALUE context, struct cprof_span *span)
{
    VALUE answer = rb_funcall(api.spans, ids.ask, 1, context);
    if (!RB_TYPE_P(answer, T_STRING))
        return NIL_P(answer);
    if (RSTRING_LEN(answer) != 16 + 8)
        return false;
    memcpy(span->trace_id, RSTRING_PTR(answer), 16);
    memcpy(span->span_id, RSTRING_PTR(answer) + 16, 8);
    return true;
}

static void find_span(VALUE context, struct span *span)
{
    *span = (struct span){0};
    if (NIL_P(context) || read_span(context, &span->ids))
        return;
    span->ids = (struct cprof_span){0};
    span->unreadable = !ask_for_span(context, &span->ids);
}

void spans_current(struct span *span)
{
    find_span(api.context != 0 ? current_context() : Qnil, span);
}

void spans_read(struct span *span)
{
    *span = (struct span){0};
    if (api.context == 0)
        return;
    bool foreign = api.storage == STORAGE_FOREIGN;
    VALUE context = foreign ? Qnil : stored_context();
    if (foreign || (!NIL_P(context) && !read_span(context, &span->ids)))
        *span = (struct span){.unreadable = true};
}

static void publish(VALUE context)
{
    struct span span;
    if (!cprof_is_running())
        return;
    find_span(context, &span);
    context_span_changed(&span);
}

/* The span of `context` becomes active after that of `before`. */
static void tell_profile_id(VALUE before, VALUE context)
{
    uint8_t id[16];
    if (cprof_span_profile_id(id))
        rb_funcall(api.spans, ids.tell, 3, before, context,
                   rb_str_new((const char *)id, sizeof id));
}

static VALUE attach(int count, VALUE *arguments, VALUE self)
{
    (void)self;
    VALUE before = api.profile_ids ? current_context() : Qnil;
    VALUE token = rb_call_super_kw(count, arguments, rb_keyword_given_p());
    VALUE context = count > 0 ? arguments[0] : Qnil;
    if (api.storage == STORAGE_UNKNOWN)
        learn_storage(context);
    publish(context);
    if (api.profile_ids)
        tell_profile_id(before, context);
    return token;
}

static VALUE detach(int count, VALUE *arguments, VALUE self)
{
    (void)self;
    VALUE matched = rb_call_super_kw(count, arguments, rb_keyword_given_p());
    publish(current_context());
    return matched;
}

static void prepend_hooks(void)
{
    VALUE hooks = rb_define_module_under(rb_path2class("Cprof"), "ContextHooks");
    rb_define_method(hooks, "attach", attach, -1);
    rb_define_method(hooks, "detach", detach, -1);
    rb_define_method(hooks, "clear", detach, -1);
    rb_prepend_module(rb_singleton_class(api.context), hooks);
}

/* The constant at the end of a path, or 0. */
static VALUE constant(const char *const *path)
{
    VALUE value = rb_cObject;
    for (; *path != NULL; path++) {
        ID name = rb_intern(*path);
        /* Without autoload: what is not loaded is not used. */
        if (!RB_TYPE_P(value, T_CLASS) && !RB_TYPE_P(value, T_MODULE))
            return 0;
        if (!rb_const_defined_at(value, name) || rb_autoload_p(value, name) != Qnil)
            return 0;
        value = rb_const_get_at(value, name);
    }
    return value;
}

static void name_things(void)
{
    ids.fiber_stack = rb_intern("@opentelemetry_context");
    ids.thread_stack = rb_intern("__opentelemetry_context_storage__");
    ids.current = rb_intern("current");
    ids.entries = rb_intern("@entries");
    ids.context = rb_intern("@context");
    ids.trace_id = rb_intern("@trace_id");
    ids.span_id = rb_intern("@span_id");
    ids.trace_flags = rb_intern("@trace_flags");
    ids.flags = rb_intern("@flags");
    ids.ask = rb_intern("ids_of");
    ids.tell = rb_intern("tell_profile");
}

void spans_start(void)
{
    uint8_t id[16];
    api.profile_ids = cprof_span_profile_id(id);
}

static void on_class_end(rb_event_flag_t event, VALUE unused, VALUE self, ID id, VALUE class)
{
    (void)event;
    (void)unused;
    (void)self;
    (void)id;
    (void)class;
    spans_find();
    if (api.context != 0)
        rb_remove_event_hook(on_class_end);
}

void spans_watch(void)
{
    if (api.context == 0)
        rb_add_event_hook(on_class_end, RUBY_EVENT_END, Qnil);
}

/* From now on it stays alive and in its place; 0 is nothing. */
static void keep(VALUE *place, VALUE object)
{
    rb_gc_register_address(place);
    *place = object;
}

void spans_find(void)
{
    static const char *const context[] = {"OpenTelemetry", "Context", NULL};
    static const char *const span_context[] = {"OpenTelemetry", "Trace", "SpanContext", NULL};
    static const char *const key[] = {"OpenTelemetry", "Trace", "CURRENT_SPAN_KEY", NULL};
    if (api.context != 0)
        return;
    /* The last of the three to be defined: the API is whole, or as good as. */
    if (constant(span_context) == 0 || constant(context) == 0)
        return;
    name_things();
    keep(&api.spans, rb_path2class("Cprof::Spans"));
    keep(&api.span_context, constant(span_context));
    keep(&api.span_key, constant(key));
    keep(&api.context, constant(context));
    prepend_hooks();
    context_follow();
    context_renew();
}
