/*
 * cprof/native: the extension behind the gem. lib/cprof.rb says what there is and passes it on,
 * without calling anything that a program may have redefined.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <ruby.h>
#include <ruby/debug.h>
#include <ruby/ractor.h>
#include <ruby/thread.h>
#include <ruby/version.h>

#include <cprof/cprof.h>
#include <cprof/labels.h>
#include <cprof/runtime.h>

#include "asleep.h"
#include "context.h"
#include "exceptions.h"
#include "fibers.h"
#include "hooks.h"
#include "jit.h"
#include "labels.h"
#include "layout.h"
#include "locks.h"
#include "module.h"
#include "names.h"
#include "options.h"
#include "orders.h"
#include "original.h"
#include "pauses.h"
#include "roles.h"
#include "slots.h"
#include "spans.h"
#include "threads.h"
#include "walk.h"

/* How long a block's end waits for its file. */
#define CAPTURE_SECONDS 5.0

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
    fibers_fork_lock();
}

static void fork_unlock(void)
{
    fibers_fork_unlock();
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
    .native_start = roles_function_at,
    .labels = cprof_labels_of,
    .drained = drained,
    .alloc_open = slots_open,
    .alloc_close = slots_close,
    .tick = slots_tick,
    .lock_open = locks_open,
    .lock_close = locks_close,
    .exception_open = exceptions_open,
    .exception_close = exceptions_close,
    .gc_open = pauses_open,
    .gc_close = pauses_close,
    .fork_lock = fork_lock,
    .fork_unlock = fork_unlock,
    .asleep = &asleep,
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
    while (!work->done) {
        atomic_fetch_add(&working, 1);
        rb_thread_call_without_gvl2(do_work, work, NULL, NULL);
        atomic_fetch_sub(&working, 1);
        if (!work->done)
            rb_thread_check_ints();
    }
}

static const void *main_ractor_key; /* its address is the value */
static rb_ractor_local_key_t main_ractor;

static void mark_main_ractor(void)
{
    static const struct rb_ractor_local_storage_type plain;
    main_ractor = rb_ractor_local_storage_ptr_newkey(&plain);
    rb_ractor_local_storage_ptr_set(main_ractor, &main_ractor_key);
}

bool module_in_main_ractor(void)
{
    return rb_ractor_local_storage_ptr(main_ractor) != NULL;
}

/* ---- start, profile ---- */

struct start {
    struct work work;
    struct cprof_options options;
    const char *origin;
    VALUE captures; /* an Array, for its number; nil: it is none */
    uint64_t capture;
    char error[512];
    int result;
};

static void start_engine(struct work *work)
{
    struct start *start = (struct start *)work;
    start->result = cprof_start(&start->options, &runtime, start->error, sizeof start->error);
}

static void begin_capture(struct work *work)
{
    struct start *start = (struct start *)work;
    start->result = cprof_capture_begin(&start->options, &runtime, &start->capture,
                                        start->error, sizeof start->error);
}

static char *library; /* where libcprof_*.so lie; NULL: nobody knows */

/* Why only native frames show; "": they don't. */
static char why_native[160];

static void learn_roles(void *native)
{
    roles_learn(*(VALUE *)native);
}

/* prepare(folder): called once, when all is loaded, with the extension's folder. Probes run
 * Ruby's methods, which nobody has redefined by then. */
static VALUE native_prepare(VALUE self, VALUE folder)
{
    library = NIL_P(folder) ? NULL : strdup(StringValueCStr(folder));
    prepare_asking();
    code_init();
    context_init();
    slots_init();
    if (!layout_check(why_native, sizeof why_native))
        return Qnil;
    original_uninterrupted(learn_roles, &self);
    has_jit =
        rb_const_defined(rb_const_get(rb_cObject, rb_intern("RubyVM")), rb_intern("YJIT"));
    return Qnil;
}

void module_prepare(void)
{
    static bool begun;
    if (begun)
        return;
    begun = true;
    if (why_native[0] != '\0')
        cprof_say(why_native);
    hooks_install();
}

/* The engine has been started, and not just joined. */
static void follow_all(void)
{
    exceptions_follow();
    locks_follow();
    pauses_follow();
    fibers_follow();
    threads_started();
    threads_tell_names();
    spans_start();
    spans_find();
    slots_started();
    context_renew();
    context_reload();
}

static void run_prepared(void *argument)
{
    struct start *start = argument;
    hooks_stop_at_exit();
    module_prepare();
    if (has_jit)
        jit_find();
    threads_follow();
    without_gvl(&start->work);
    if (start->result >= 0 && !NIL_P(start->captures))
        rb_ary_push(start->captures, ULL2NUM(start->capture));
    if (start->result == 0)
        follow_all();
}

/* Reads the options and does the work, with what belongs to it whatever other threads raise
 * meanwhile (Timeout). The caller says what comes of it. */
static void run_start(struct start *start, VALUE keywords)
{
    if (!module_in_main_ractor())
        options_raise("Cprof.start: only in the main Ractor");
    VALUE keeper = options_read(keywords, &start->options);
    start->options.library_directory = library;
    start->options.origin = start->origin;
    original_uninterrupted(run_prepared, start);
    RB_GC_GUARD(keeper);
}

static const char *why_not(const struct start *start)
{
    return start->error[0] != '\0' ? start->error : strerror(-start->result);
}

VALUE module_start(const char *origin, VALUE keywords)
{
    struct start start = {
        .work = {.function = start_engine}, .origin = origin, .captures = Qnil};
    run_start(&start, keywords);
    if (start.result == -EBUSY) /* another copy of cprof: no mistake of the caller's */
        cprof_say(why_not(&start));
    else if (start.result < 0 && start.result != -ECANCELED)
        options_raise("%s", why_not(&start));
    return start.result >= 0 ? Qtrue : Qfalse;
}

/* start(keywords): false where the environment forbids it. */
static VALUE native_start(VALUE self, VALUE keywords)
{
    (void)self;
    return module_start(NULL, keywords);
}

/* begin_capture(captures, keywords, output): adds it to the Array, for end_captures(),
 * before anything can be raised. A block that can't be captured runs all the same, except where
 * what it asks for makes no sense. */
static VALUE native_begin_capture(VALUE self, VALUE captures, VALUE keywords, VALUE output)
{
    (void)self;
    struct start start = {.work = {.function = begin_capture}, .captures = captures};
    rb_hash_aset(keywords, ID2SYM(rb_intern("output")), output);
    run_start(&start, keywords);
    if (start.result == -EBUSY || start.result == -ENOMEM || start.result == -ETIMEDOUT)
        cprof_say(why_not(&start));
    else if (start.result < 0 && start.result != -ECANCELED)
        options_raise("%s", why_not(&start));
    return Qnil;
}

void module_forked(void)
{
    atomic_store(&working, 0);
}

/* ---- flush, stop ---- */

struct finish {
    struct work work;
    int (*function)(double timeout);
    uint64_t capture;
    double timeout;
    char error[512];
    int result;
};

static void run_finish(struct work *work)
{
    struct finish *finish = (struct finish *)work;
    finish->result = finish->function(finish->timeout);
}

static void end_capture(struct work *work)
{
    struct finish *finish = (struct finish *)work;
    finish->result = cprof_capture_end(finish->capture, finish->timeout, finish->error,
                                       sizeof finish->error);
}

/* The names stay where the engine may need them: it did not end in time, or another thread has
 * started it since, or is about to. The next stop lets go of them then. */
static void forget_names(int result)
{
    bool ended = result == 0 || result == -EIO;
    exceptions_forget();
    locks_forget();
    pauses_forget();
    if (ended && atomic_load(&working) == 0 && !cprof_is_running())
        code_forget();
}

/* Whatever was sampled so far gets its names first: nobody else can give them meanwhile. */
static VALUE native_flush(VALUE self, VALUE timeout)
{
    (void)self;
    struct finish finish = {.work = {.function = run_finish},
                            .function = cprof_flush,
                            .timeout = options_seconds(timeout)};
    code_give_names();
    without_gvl(&finish.work);
    rb_thread_check_ints();
    return finish.result == 0 ? Qtrue : Qfalse;
}

static void finish_all(void *argument)
{
    struct finish *finish = argument;
    code_give_names();
    without_gvl(&finish->work);
    slots_settle();
    forget_names(finish->result);
}

int module_stop(int (*function)(double timeout), double timeout)
{
    struct finish finish = {
        .work = {.function = run_finish}, .function = function, .timeout = timeout};
    finish_all(&finish);
    return finish.result;
}

static VALUE native_stop(VALUE self, VALUE timeout)
{
    (void)self;
    int status = module_stop(cprof_stop, options_seconds(timeout));
    rb_thread_check_ints();
    return status == 0 ? Qtrue : Qfalse;
}

void module_end(void)
{
    struct finish finish = {
        .work = {.function = run_finish}, .function = cprof_end, .timeout = -1};
    original_uninterrupted(finish_all, &finish);
}

/* end_captures(captures): that of begin_capture(), if there is one. */
static VALUE native_end_captures(VALUE self, VALUE captures)
{
    (void)self;
    for (long i = 0; i < RARRAY_LEN(captures); i++) {
        struct finish finish = {.work = {.function = end_capture},
                                .capture = NUM2ULL(rb_ary_entry(captures, i)),
                                .timeout = CAPTURE_SECONDS};
        original_uninterrupted(finish_all, &finish);
        if (finish.result != 0 && finish.result != -ENOENT)
            cprof_say(finish.error);
    }
    return Qnil;
}

/* ---- all threads now ---- */

struct dump {
    struct work work;
    const char *format;
    char *page;
    size_t size;
    char error[512];
    int result;
};

static void take_dump(struct work *work)
{
    struct dump *dump = (struct dump *)work;
    dump->result =
        cprof_dump(dump->format, &dump->page, &dump->size, dump->error, sizeof dump->error);
}

static bool meet(void *unused, const struct cprof_task *fiber)
{
    (void)unused, (void)fiber;
    return true;
}

/* dump(format): the page, binary. */
static VALUE native_dump(VALUE self, VALUE format)
{
    (void)self;
    struct dump dump = {.work = {.function = take_dump}, .format = StringValueCStr(format)};
    fibers_each(meet, NULL);
    code_give_names(); /* of what fibers run that have not been sampled, too */
    without_gvl(&dump.work);
    RB_GC_GUARD(format);
    if (dump.result != 0)
        options_raise("%s", dump.error);
    VALUE page = rb_str_new(dump.page, (long)dump.size);
    free(dump.page);
    rb_thread_check_ints();
    return page;
}

static VALUE native_is_running(VALUE self)
{
    (void)self;
    return cprof_is_running() ? Qtrue : Qfalse;
}

/* The running interval's, in hex; nil: nothing runs. */
static VALUE native_profile_id(VALUE self)
{
    uint8_t id[16];
    char text[2 * sizeof id + 1];
    (void)self;
    if (!cprof_profile_id(id))
        return Qnil;
    for (size_t i = 0; i < sizeof id; i++)
        snprintf(text + 2 * i, 3, "%02x", id[i]);
    return rb_usascii_str_new(text, 2 * sizeof id);
}

static VALUE native_stats(VALUE self)
{
    (void)self;
    struct cprof_stats stats;
    cprof_stats(&stats);
    VALUE result = rb_hash_new();
#define ADD(field, kind) rb_hash_aset(result, ID2SYM(rb_intern(#field)), ULL2NUM(stats.field));
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

static bool is_word(const char *text, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strcasecmp(text, *words) == 0)
            return true;
    return false;
}

static VALUE start_by_environment(VALUE keywords)
{
    return module_start("CPROF_ENABLED", keywords);
}

enum enabled { OFF, ON, STANDBY };

/* An empty one says nothing; one that makes no sense is told, once, and means no. */
static enum enabled read_enabled(bool unasked)
{
    static const char *const yes[] = {"1", "true", "on", "yes", NULL};
    static const char *const no[] = {"0", "false", "off", "no", NULL};
    static const char *const standby[] = {"standby", NULL};
    static bool told;
    const char *value = getenv("CPROF_ENABLED");
    if (value == NULL || value[0] == '\0')
        return unasked ? ON : OFF;
    if (is_word(value, yes) || is_word(value, no))
        return is_word(value, yes) ? ON : OFF;
    if (is_word(value, standby))
        return STANDBY;
    char line[128];
    snprintf(line, sizeof line,
             "CPROF_ENABLED=%.40s: must be on, standby or off; the program runs on unprofiled",
             value);
    if (!told)
        cprof_say(line);
    told = true;
    return OFF;
}

/* start_with_program(unasked): what CPROF_ENABLED says, once, when the library is loaded;
 * `unasked` is what holds where it says nothing. Whether it runs. */
static VALUE native_start_with_program(VALUE self, VALUE unasked)
{
    (void)self;
    static bool started, asked;
    enum enabled enabled = started ? OFF : read_enabled(RTEST(unasked));
    if (enabled != OFF && !asked && getenv("CPROF_ENABLED") != NULL)
        orders_open(enabled == STANDBY);
    asked |= enabled != OFF;
    if (enabled != ON)
        return started ? Qtrue : Qfalse;
    started = true;
    int failed = 0;
    VALUE pending = rb_errinfo(); /* the program's $! */
    VALUE runs = rb_protect(start_by_environment, rb_hash_new(), &failed);
    if (!failed)
        return runs;
    VALUE error = rb_errinfo();
    rb_set_errinfo(pending);
    VALUE text = rb_sprintf("%" PRIsVALUE "; the program runs on unprofiled",
                            rb_attr_get(error, rb_intern("mesg")));
    cprof_say(StringValueCStr(text));
    return Qfalse;
}

/* Of another Ruby's layout nothing may be read: one of another version has this file's name. */
static void check_version(void)
{
    if (ruby_api_version[0] != RUBY_API_VERSION_MAJOR ||
        ruby_api_version[1] != RUBY_API_VERSION_MINOR)
        rb_raise(rb_eLoadError, "it was built for Ruby %d.%d, and this is %d.%d",
                 RUBY_API_VERSION_MAJOR, RUBY_API_VERSION_MINOR, ruby_api_version[0],
                 ruby_api_version[1]);
}

void Init_native(void);

__attribute__((visibility("default"))) void Init_native(void)
{
    check_version();
#ifdef HAVE_RB_EXT_RACTOR_SAFE
    rb_ext_ractor_safe(true);
#endif
    VALUE cprof = rb_define_module("Cprof");
    VALUE native = rb_define_module_under(cprof, "Native");
    mark_main_ractor();
    original_init();
    labels_init(native);
    hooks_init(native);
    rb_define_singleton_method(native, "prepare", native_prepare, 1);
    rb_define_singleton_method(native, "start", native_start, 1);
    rb_define_singleton_method(native, "start_with_program", native_start_with_program, 1);
    rb_define_singleton_method(native, "begin_capture", native_begin_capture, 3);
    rb_define_singleton_method(native, "end_captures", native_end_captures, 1);
    rb_define_singleton_method(native, "flush", native_flush, 1);
    rb_define_singleton_method(native, "stop", native_stop, 1);
    rb_define_singleton_method(native, "dump", native_dump, 1);
    rb_define_singleton_method(native, "running?", native_is_running, 0);
    rb_define_singleton_method(native, "profile_id", native_profile_id, 0);
    rb_define_singleton_method(native, "stats", native_stats, 0);
    rb_define_singleton_method(native, "watch_for_spans", native_watch_for_spans, 0);
}
