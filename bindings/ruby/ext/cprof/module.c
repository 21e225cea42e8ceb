/*
 * cprof/native: the extension behind the gem. It checks types and passes on; what arguments
 * mean and how they are spelled is the business of lib/cprof.rb.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include <ruby.h>
#include <ruby/debug.h>
#include <ruby/thread.h>
#include <ruby/version.h>

#include <cprof/cprof.h>
#include <cprof/labels.h>
#include <cprof/runtime.h>

#include "context.h"
#include "jit.h"
#include "labels.h"
#include "layout.h"
#include "names.h"
#include "roles.h"
#include "spans.h"
#include "threads.h"
#include "walk.h"

static bool has_jit; /* this Ruby was built with it, whether or not it is on */

/* The JIT may have been switched on since. */
static void drained(void)
{
    cprof_labels_drained();
    if (code_drained() && has_jit)
        jit_find();
}

static void fork_lock(void)
{
    code_fork_prepare();
    cprof_labels_lock();
}

static void fork_unlock(void)
{
    cprof_labels_unlock();
    code_fork_done();
}

static const struct cprof_runtime runtime = {
    .name = "ruby",
    .walk = walk,
    .step = walk_step,
    .context = walk_request,
    .resolve = code_resolve,
    .role = roles_of,
    .role_at = roles_at,
    .labels = cprof_labels_of,
    .drained = drained,
    .fork_lock = fork_lock,
    .fork_unlock = fork_unlock,
};

/* New code has been met, which may be OpenTelemetry's; or a thread whose context is not known.
 * None of this runs the application's code: Ruby swallows what is raised in it, and that may be
 * another thread's Timeout or kill. */
static void give_names(void *unused)
{
    (void)unused;
    code_give_names();
    spans_find();
    if (context_is_stale())
        context_reload_quietly();
}

/* Asks Ruby to call give_names() at its next safe point. */
#if RUBY_API_VERSION_CODE >= 30300
static rb_postponed_job_handle_t names_job;

static void ask_for_names(void)
{
    rb_postponed_job_trigger(names_job);
}

static void prepare_asking(void)
{
    names_job = rb_postponed_job_preregister(0, give_names, NULL);
    walk_ask_for_names = ask_for_names;
}
#else
/* Not atomic: it counts a place of Ruby's table before it fills it. Who has the GVL notices
 * nothing of that, but several Ractors have one each, and while it changes hands two threads
 * may think they have it. */
static void ask_for_names(void)
{
    rb_postponed_job_register_one(0, give_names, NULL);
}

static void do_nothing(void *unused)
{
    (void)unused;
}

/* Fills the places that are ever used, so that none is empty when it is counted too early: by
 * another thread that runs the jobs meanwhile, or in a forked child, where it is never filled.
 * Not all: rb_postponed_job_register_one() writes behind the last of a table that is full. */
static void prepare_asking(void)
{
    enum { PLACES = 32 };
    for (int i = 0; i < PLACES; i++)
        rb_postponed_job_register(0, do_nothing, NULL);
    walk_ask_for_names = ask_for_names;
}
#endif

/* Pairs out of an Array of Arrays of two Strings. The keeper also holds the strings: what lies
 * in it stays where it is, while an array's strings may be moved. */
static const struct cprof_pair *pairs_of(VALUE array, VALUE *keeper)
{
    long count = RARRAY_LEN(array);
    struct cprof_pair *pairs =
        rb_alloc_tmp_buffer(keeper, (count + 1) * (long)(sizeof *pairs + 2 * sizeof(VALUE)));
    VALUE *strings = (VALUE *)(pairs + count + 1);
    for (long i = 0; i < count; i++) {
        VALUE pair = rb_check_array_type(RARRAY_AREF(array, i));
        VALUE *key = strings + 2 * i, *value = key + 1;
        *key = rb_ary_entry(pair, 0);
        *value = rb_ary_entry(pair, 1);
        pairs[i] =
            (struct cprof_pair){.key = StringValueCStr(*key), .value = StringValueCStr(*value)};
    }
    return pairs;
}

static const char *string_or_null(VALUE value)
{
    return NIL_P(value) ? NULL : StringValueCStr(value);
}

/* What is done without the GVL. */
struct work {
    void (*function)(struct work *);
    bool done;
};

static void *do_work(void *argument)
{
    struct work *work = argument;
    work->function(work);
    work->done = true;
    return NULL;
}

static _Atomic unsigned working; /* threads in without_gvl() */

/* What signals and other threads raise comes before the work, when nothing has been done, or
 * waits: the caller has more to do, and then calls rb_thread_check_ints(). */
static void without_gvl(struct work *work)
{
    for (;;) {
        atomic_fetch_add(&working, 1);
        rb_thread_call_without_gvl2(do_work, work, NULL, NULL);
        atomic_fetch_sub(&working, 1);
        if (work->done)
            return;
        rb_thread_check_ints();
    }
}

struct start {
    struct work work;
    struct cprof_options options;
    char error[512];
    int result;
};

static void start_engine(struct work *work)
{
    struct start *start = (struct start *)work;
    start->result = cprof_start(&start->options, &runtime, start->error, sizeof start->error);
}

/* start(service_name, types, rate, interval, exporter, endpoint, output, headers, labels,
 * native, resource, library_directory): nil, or why it did not start. */
static VALUE native_start(int count, VALUE *v, VALUE self)
{
    (void)self;
    rb_check_arity(count, 12, 12);
    VALUE keepers[3];
    struct start start = {
        .work = {.function = start_engine},
        .options =
            {
                .service_name = string_or_null(v[0]),
                .types = string_or_null(v[1]),
                .rate = NIL_P(v[2]) ? 0 : NUM2UINT(v[2]),
                .interval = NIL_P(v[3]) ? 0 : NUM2DBL(v[3]),
                .exporter = string_or_null(v[4]),
                .endpoint = string_or_null(v[5]),
                .output = string_or_null(v[6]),
                .headers = pairs_of(v[7], &keepers[0]),
                .header_count = (size_t)RARRAY_LEN(v[7]),
                .labels = pairs_of(v[8], &keepers[1]),
                .label_count = (size_t)RARRAY_LEN(v[8]),
                .native = string_or_null(v[9]),
                .resource = pairs_of(v[10], &keepers[2]),
                .resource_count = (size_t)RARRAY_LEN(v[10]),
                .library_directory = string_or_null(v[11]),
            },
    };
    if (has_jit)
        jit_find();
    threads_follow();
    without_gvl(&start.work);
    for (size_t i = 0; i < sizeof keepers / sizeof *keepers; i++)
        rb_free_tmp_buffer(&keepers[i]);
    if (start.result == 0) {
        threads_started();
        spans_start();
        spans_find();
        context_renew();
        context_reload();
        rb_thread_check_ints();
        return Qnil;
    }
    const char *why = start.error[0] != '\0' ? start.error : strerror(-start.result);
    return rb_ary_new_from_args(2, INT2NUM(-start.result), rb_str_new_cstr(why));
}

struct finish {
    struct work work;
    int (*function)(double timeout);
    double timeout;
    int result;
};

static void run_finish(struct work *work)
{
    struct finish *finish = (struct finish *)work;
    finish->result = finish->function(finish->timeout);
}

/* Whatever was sampled so far gets its names first: nobody else can give them meanwhile. */
static int finish(int (*function)(double timeout), VALUE timeout)
{
    struct finish finish = {
        .work = {.function = run_finish}, .function = function, .timeout = NUM2DBL(timeout)};
    code_give_names();
    without_gvl(&finish.work);
    return finish.result;
}

static VALUE native_flush(VALUE self, VALUE timeout)
{
    (void)self;
    int result = finish(cprof_flush, timeout);
    rb_thread_check_ints();
    return result == 0 ? Qtrue : Qfalse;
}

/* The names stay where the engine may need them: it did not end in time, or another thread has
 * started it since, or is about to. The next stop lets go of them then. */
static VALUE native_stop(VALUE self, VALUE timeout)
{
    (void)self;
    int result = finish(cprof_stop, timeout);
    if (result == 0 && atomic_load(&working) == 0 && !cprof_is_running())
        code_forget();
    rb_thread_check_ints();
    return result == 0 ? Qtrue : Qfalse;
}

static VALUE native_is_running(VALUE self)
{
    (void)self;
    return cprof_is_running() ? Qtrue : Qfalse;
}

static VALUE native_stats(VALUE self)
{
    (void)self;
    struct cprof_stats stats;
    cprof_stats(&stats);
    VALUE result = rb_hash_new();
#define ADD(field) rb_hash_aset(result, ID2SYM(rb_intern(#field)), ULL2NUM(stats.field));
    CPROF_STATS_FIELDS(ADD)
#undef ADD
    return result;
}

static VALUE native_watch_for_spans(VALUE self)
{
    (void)self;
    spans_watch();
    return Qnil;
}

static VALUE native_describe_thread(VALUE self, VALUE tid, VALUE name)
{
    (void)self;
    cprof_thread_describe(NUM2INT(tid), NUM2ULL(tid), StringValueCStr(name));
    return Qnil;
}

static VALUE native_fork_prepare(VALUE self)
{
    (void)self;
    cprof_fork_prepare();
    return Qnil;
}

static VALUE native_fork_parent(VALUE self)
{
    (void)self;
    cprof_fork_parent();
    return Qnil;
}

static VALUE native_fork_child(VALUE self)
{
    (void)self;
    walk_older_count = 0;      /* the parent's */
    atomic_store(&working, 0); /* its threads */
    cprof_fork_child();
    if (cprof_is_running()) {
        threads_enter_current();
        context_reload();
    }
    return Qnil;
}

/* Called once, from Ruby code, before anything else: nil, or why only native frames show. */
static VALUE native_prepare(VALUE self)
{
    char why[160] = "";
    prepare_asking();
    code_init();
    context_init();
    if (!layout_check(why, sizeof why))
        return rb_str_new_cstr(why);
    roles_learn(self);
    has_jit =
        rb_const_defined(rb_const_get(rb_cObject, rb_intern("RubyVM")), rb_intern("YJIT"));
    return Qnil;
}

void Init_native(void);

__attribute__((visibility("default"))) void Init_native(void)
{
#ifdef HAVE_RB_EXT_RACTOR_SAFE
    rb_ext_ractor_safe(true);
#endif
    VALUE cprof = rb_define_module("Cprof");
    VALUE native = rb_define_module_under(cprof, "Native");
    labels_init(native);
    rb_define_singleton_method(native, "prepare", native_prepare, 0);
    rb_define_singleton_method(native, "start", native_start, -1);
    rb_define_singleton_method(native, "flush", native_flush, 1);
    rb_define_singleton_method(native, "stop", native_stop, 1);
    rb_define_singleton_method(native, "running?", native_is_running, 0);
    rb_define_singleton_method(native, "stats", native_stats, 0);
    rb_define_singleton_method(native, "watch_for_spans", native_watch_for_spans, 0);
    rb_define_singleton_method(native, "describe_thread", native_describe_thread, 2);
    rb_define_singleton_method(native, "fork_prepare", native_fork_prepare, 0);
    rb_define_singleton_method(native, "fork_parent", native_fork_parent, 0);
    rb_define_singleton_method(native, "fork_child", native_fork_child, 0);
}
