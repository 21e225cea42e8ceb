#include "context.h"

#include <stdlib.h>
#include <string.h>

#include <ruby/debug.h>
#include <ruby/ractor.h>
#include <ruby/thread.h>
#include <ruby/version.h>

#include <cprof/context.h>
#include <cprof/cprof.h>

#include "labels.h"
#include "spans.h"

__thread struct context_record *context_here;
__thread uint32_t context_seen;
_Atomic uint32_t context_age;

static rb_ractor_local_key_t followed; /* set where fibers are */

/* From 3.3 on Ruby may move a thread between native ones: there its record moves along. Before,
 * a native thread has one of its own. */
#if RUBY_API_VERSION_CODE >= 30300

static rb_internal_thread_specific_key_t key;
static bool have_key;

static VALUE make_key(VALUE unused)
{
    key = rb_internal_thread_specific_key_create();
    return unused;
}

static void prepare_records(void)
{
    int failed = 0; /* it is too late for keys where there are several Ractors */
    rb_protect(make_key, Qnil, &failed);
    if (failed)
        rb_set_errinfo(Qnil);
    have_key = !failed;
}

static struct context_record *record_of(VALUE thread)
{
    return have_key ? rb_internal_thread_specific_get(thread, key) : NULL;
}

static struct context_record *make_record(void)
{
    struct context_record *record = have_key ? calloc(1, sizeof *record) : NULL;
    if (record != NULL)
        rb_internal_thread_specific_set(rb_thread_current(), key, record);
    return record;
}

static void free_record(VALUE thread, struct context_record *record)
{
    if (record != NULL)
        rb_internal_thread_specific_set(thread, key, NULL);
    free(record);
}

#else

static __thread struct context_record own;

static void prepare_records(void)
{
}

static struct context_record *record_of(VALUE thread)
{
    (void)thread;
    return NULL; /* a native thread runs one Ruby thread after the other, each from its start */
}

static struct context_record *make_record(void)
{
    memset(&own, 0, sizeof own);
    return &own;
}

static void free_record(VALUE thread, struct context_record *record)
{
    (void)thread;
    (void)record;
}

#endif

void context_init(void)
{
    static const struct rb_ractor_local_storage_type plain;
    followed = rb_ractor_local_storage_ptr_newkey(&plain);
    prepare_records();
}

static bool is_nothing(const struct cprof_context *context)
{
    static const struct cprof_context nothing;
    return context->label_set == 0 && !context->unreadable &&
           memcmp(context->span_id, nothing.span_id, sizeof nothing.span_id) == 0;
}

void context_enter(VALUE thread)
{
    context_here = record_of(thread);
}

void context_leave(VALUE thread)
{
    struct context_record *record = context_here;
    context_here = NULL;
    atomic_signal_fence(memory_order_seq_cst);
    free_record(thread, record);
}

/* For other processes. */
static void share(const struct cprof_context *context, uint8_t flags,
                  const struct labels *labels)
{
    struct cprof_span span = {.flags = flags};
    memcpy(span.trace_id, context->trace_id, sizeof span.trace_id);
    memcpy(span.span_id, context->span_id, sizeof span.span_id);
    if (is_nothing(context))
        cprof_context_detach();
    else
        cprof_context_attach(&span, labels->attributes, labels->size);
}

static void publish(const struct cprof_context *context, uint8_t flags,
                    const struct labels *labels)
{
    struct context_record *record = context_here;
    uint32_t age = atomic_load(&context_age);
    if (record == NULL && (is_nothing(context) || (record = make_record()) == NULL)) {
        context_seen = age;
        return;
    }
    unsigned next = 1 - atomic_load_explicit(&record->current, memory_order_relaxed);
    record->versions[next] = *context;
    record->span_flags = flags;
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&record->current, next, memory_order_relaxed);
    record->age = age;
    atomic_signal_fence(memory_order_seq_cst);
    context_here = record;
    share(context, flags, labels);
}

void context_labels_changed(void)
{
    const struct context_record *record = context_here;
    if (record == NULL || context_is_stale()) {
        context_reload();
        return;
    }
    const struct labels *labels = labels_of_fiber();
    struct cprof_context context = record->versions[record->current];
    context.label_set = labels->set;
    publish(&context, record->span_flags, labels);
}

void context_span_changed(const struct span *span)
{
    const struct labels *labels = labels_of_fiber();
    struct cprof_context context = {
        .label_set = labels->set,
        .unreadable = span->unreadable,
    };
    memcpy(context.trace_id, span->ids.trace_id, sizeof context.trace_id);
    memcpy(context.span_id, span->ids.span_id, sizeof context.span_id);
    publish(&context, span->ids.flags, labels);
}

void context_reload(void)
{
    struct span span;
    spans_current(&span);
    context_span_changed(&span);
}

void context_reload_quietly(void)
{
    struct span span;
    spans_read(&span);
    context_span_changed(&span);
}

static void on_fiber_switch(rb_event_flag_t event, VALUE unused, VALUE self, ID id, VALUE class)
{
    (void)event;
    (void)unused;
    (void)self;
    (void)id;
    (void)class;
    if (cprof_is_running())
        context_reload();
}

/* Programs with neither spans nor labels do not pay for them. Ruby calls hooks in the Ractor
 * that has added them. */
void context_follow(void)
{
    if (rb_ractor_local_storage_ptr(followed) != NULL)
        return;
    rb_ractor_local_storage_ptr_set(followed, &followed);
    rb_add_event_hook(on_fiber_switch, RUBY_EVENT_FIBER_SWITCH, Qnil);
}

void context_renew(void)
{
    atomic_fetch_add(&context_age, 1);
}
