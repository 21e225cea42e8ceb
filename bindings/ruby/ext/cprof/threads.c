#include "threads.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ruby.h>
#include <ruby/debug.h>
#include <ruby/thread.h>
#include <ruby/version.h>

#include <cprof/cprof.h>

#include "asleep.h"
#include "context.h"
#include "gvl.h"
#include "kept.h"
#include "layout.h"
#include "original.h"
#include "walk.h"

__thread bool threads_over;
__thread void *threads_running;

static __thread bool waits_for_gvl;
static __thread pid_t own_tid;
static __thread struct asleep_here here;

/* In which start of the profiler the core was told of the native thread. */
static __thread unsigned told_in;
static unsigned starts; /* under the GVL; elsewhere an old one is as good */

/* What looks at the thread are to read. */
static void tell_looks(void)
{
    here = (struct asleep_here){.running = &threads_running,
                                .over = &threads_over,
                                .waits = &waits_for_gvl,
                                .context = &context_here};
    cprof_thread_set_data(&here);
    asleep_awake(own_tid);
}

static void enter(VALUE thread, const char *name)
{
    if (KEPT_NEEDED)
        kept_set(thread);
    threads_running = layout_thread(thread);
    told_in = __atomic_load_n(&starts, __ATOMIC_RELAXED);
    context_enter(thread);
    own_tid = (pid_t)syscall(SYS_gettid);
    cprof_thread_enter((uint64_t)own_tid, name);
    tell_looks();
    atomic_signal_fence(memory_order_seq_cst);
    threads_over = false;
}

static void leave(VALUE thread)
{
    threads_over = true;
    atomic_signal_fence(memory_order_seq_cst);
    threads_running = NULL;
    waits_for_gvl = false;
    context_leave(thread);
    asleep_awake((pid_t)syscall(SYS_gettid));
    if (KEPT_NEEDED)
        kept_set(Qnil);
    cprof_thread_leave();
}

void threads_enter_current(void)
{
    VALUE thread = rb_thread_current();
    VALUE name = original_thread_name(thread);
    if (NIL_P(name) && thread == rb_thread_main())
        name = rb_str_new_cstr("main");
    enter(thread, NIL_P(name) ? NULL : StringValueCStr(name));
    RB_GC_GUARD(name);
}

void threads_tell_name(VALUE thread)
{
    VALUE id = original_thread_native_id(thread);
    VALUE name = original_thread_name(thread);
    if (!NIL_P(id) && !NIL_P(name))
        cprof_thread_describe(NUM2INT(id), NUM2ULL(id), StringValueCStr(name));
    RB_GC_GUARD(name);
}

void threads_tell_names(void)
{
    VALUE threads = original_thread_list();
    for (long i = 0; i < RARRAY_LEN(threads); i++)
        threads_tell_name(rb_ary_entry(threads, i));
}

#if RUBY_API_VERSION_CODE >= 30300

static uintptr_t main_ractor;
static bool all_move; /* also the main Ractor's threads */

static bool is_of_main_ractor(VALUE thread)
{
    return word_at((uintptr_t)layout_thread(thread), THREAD_RACTOR) == main_ractor;
}

/* Whether a thread that gives way may go on elsewhere, and may have died there before its
 * native thread runs another. */
static bool may_move(VALUE thread)
{
    return all_move || !is_of_main_ractor(thread);
}

/* The native thread looks at no Ruby thread until it runs one again. */
static void suspend(void)
{
    threads_over = true;
    atomic_signal_fence(memory_order_seq_cst);
    threads_running = NULL;
    context_here = NULL;
    gvl_within = false;
}

/* Of the native thread's own: Ruby may make one thread ready on another. */
static void wait_for_gvl(VALUE thread)
{
    waits_for_gvl = threads_running == layout_thread(thread);
    if (is_of_main_ractor(thread))
        gvl_ready((uintptr_t)layout_thread(thread));
}

static void get_gvl(VALUE thread)
{
    waits_for_gvl = false;
    if (is_of_main_ractor(thread))
        gvl_taken((uintptr_t)layout_thread(thread), own_tid);
}

/* Called inside Ruby's scheduler, which may hold its lock: nothing of Ruby may be called. */
static void on_event(rb_event_flag_t event, const rb_internal_thread_event_data_t *data,
                     void *unused)
{
    (void)unused;
    if (event == RUBY_INTERNAL_THREAD_EVENT_EXITED) {
        gvl_given(own_tid);
        leave(data->thread);
    } else if (event == RUBY_INTERNAL_THREAD_EVENT_SUSPENDED) {
        gvl_given(own_tid);
        if (may_move(data->thread))
            suspend();
    } else if (event == RUBY_INTERNAL_THREAD_EVENT_READY) {
        wait_for_gvl(data->thread);
    } else {
        if (threads_running != layout_thread(data->thread) ||
            told_in != __atomic_load_n(&starts, __ATOMIC_RELAXED))
            enter(data->thread, NULL);
        get_gvl(data->thread);
    }
}

static void hook(void)
{
    const char *chosen = getenv("RUBY_MN_THREADS");
    all_move = chosen != NULL && atoi(chosen) != 0;
    main_ractor = word_at((uintptr_t)layout_thread(rb_thread_main()), THREAD_RACTOR);
    rb_internal_thread_add_event_hook(
        on_event,
        RUBY_INTERNAL_THREAD_EVENT_READY | RUBY_INTERNAL_THREAD_EVENT_RESUMED |
            RUBY_INTERNAL_THREAD_EVENT_SUSPENDED | RUBY_INTERNAL_THREAD_EVENT_EXITED,
        NULL);
}

static bool may_be_listed(void)
{
    return !all_move;
}

#else

static bool may_be_listed(void)
{
    return true;
}

#if RUBY_API_VERSION_CODE >= 30200

/* On the thread itself; which Ruby thread it runs is not said. It asks for names here, as what
 * slept till now may not be sampled soon. */
static void on_gvl(rb_event_flag_t event, const rb_internal_thread_event_data_t *data,
                   void *unused)
{
    (void)data;
    (void)unused;
    waits_for_gvl = event == RUBY_INTERNAL_THREAD_EVENT_READY;
    if (event == RUBY_INTERNAL_THREAD_EVENT_SUSPENDED ||
        event == RUBY_INTERNAL_THREAD_EVENT_EXITED)
        gvl_given(own_tid);
    else if (waits_for_gvl && threads_running != NULL)
        gvl_ready((uintptr_t)threads_running);
    if (event != RUBY_INTERNAL_THREAD_EVENT_RESUMED)
        return;
    if (threads_running != NULL)
        gvl_taken((uintptr_t)threads_running, own_tid);
    if (atomic_load_explicit(&code_met, memory_order_relaxed) > 0 && cprof_is_running())
        walk_ask_for_names();
}

static void follow_gvl(void)
{
    rb_internal_thread_add_event_hook(
        on_gvl,
        RUBY_INTERNAL_THREAD_EVENT_READY | RUBY_INTERNAL_THREAD_EVENT_RESUMED |
            RUBY_INTERNAL_THREAD_EVENT_SUSPENDED | RUBY_INTERNAL_THREAD_EVENT_EXITED,
        NULL);
}

#else

static void follow_gvl(void)
{
}

#endif

static void on_event(rb_event_flag_t event, VALUE unused, VALUE thread, ID id, VALUE class)
{
    (void)unused;
    (void)id;
    (void)class;
    if (event == RUBY_EVENT_THREAD_END)
        leave(thread);
    else
        threads_enter_current(); /* it may have got its name before it began */
}

static void hook(void)
{
    rb_add_event_hook(on_event, RUBY_EVENT_THREAD_BEGIN | RUBY_EVENT_THREAD_END, Qnil);
    follow_gvl();
}

#endif

void threads_follow(void)
{
    static bool following;
    if (following)
        return;
    following = true;
    if (KEPT_NEEDED)
        kept_init();
    hook();
}

/* Those that sleep now may do so for long, and begin nothing that tells of them. */
static void list_sleepers(void)
{
    VALUE threads = original_thread_list();
    asleep_none();
    for (long i = 0; may_be_listed() && i < RARRAY_LEN(threads); i++) {
        VALUE thread = rb_ary_entry(threads, i), tid = original_thread_native_id(thread);
        if (thread != rb_thread_current() && RB_FIXNUM_P(tid))
            asleep_since(FIX2INT(tid), layout_thread(thread));
    }
}

void threads_started(void)
{
    __atomic_store_n(&starts, starts + 1, __ATOMIC_RELAXED);
    list_sleepers();
    threads_enter_current();
}
