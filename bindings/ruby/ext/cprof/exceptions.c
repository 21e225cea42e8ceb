#include "exceptions.h"

#include <stdatomic.h>
#include <stdbool.h>

#include <ruby.h>
#include <ruby/debug.h>

#include <cprof/sample.h>

static atomic_bool wanted;
static bool hooked; /* under the GVL */

/* In the clause that rescues it, `$!` is that clause's, whatever is raised there. */
static bool is_rescued_here(VALUE exception)
{
    rb_set_errinfo(Qnil);
    VALUE rescued = rb_gv_get("$!");
    rb_set_errinfo(exception);
    return rescued == exception;
}

/* Thread#join and Thread#value raise what has ended the other thread. */
static bool is_of_another_thread(rb_trace_arg_t *event)
{
    static ID join, value;
    if (join == 0) {
        join = rb_intern("join");
        value = rb_intern("value");
    }
    VALUE method = rb_tracearg_method_id(event);
    if (!SYMBOL_P(method) || (SYM2ID(method) != join && SYM2ID(method) != value))
        return false;
    return rb_tracearg_defined_class(event) == rb_cThread;
}

/* By its class's name, or that of the next one above it which has one. */
static uint32_t kind_of(VALUE exception)
{
    VALUE class = rb_obj_class(exception), name = rb_mod_name(class);
    while (NIL_P(name) && !NIL_P(class = rb_class_superclass(class)))
        name = rb_mod_name(class);
    return RB_TYPE_P(name, T_STRING) ? cprof_kind(StringValueCStr(name)) : 0;
}

__attribute__((noinline)) static void take(VALUE exception, uint64_t period)
{
    const struct cprof_registers caller = cprof_caller();
    cprof_take_kind(CPROF_EVENT_EXCEPTION, period, 1, kind_of(exception), &caller);
}

/* Nothing here may raise: Ruby ends a program in which that happens now. */
static void on_raise(VALUE data, rb_trace_arg_t *event)
{
    (void)data;
    if (!atomic_load_explicit(&wanted, memory_order_relaxed))
        return;
    VALUE exception = rb_tracearg_raised_exception(event);
    if (!RB_TYPE_P(exception, T_OBJECT) || rb_obj_class(exception) == rb_eStopIteration ||
        is_rescued_here(exception) || is_of_another_thread(event))
        return;
    uint64_t period = cprof_due(CPROF_EVENT_EXCEPTION, 1);
    if (period != 0)
        take(exception, period);
}

/* Ruby's RAW_ARG has another signature than its type says. */
static const rb_event_hook_func_t hook = (rb_event_hook_func_t)(void (*)(void))on_raise;

int exceptions_open(const char **why)
{
    (void)why;
    atomic_store(&wanted, true);
    return 0;
}

void exceptions_close(void)
{
    atomic_store(&wanted, false);
}

void exceptions_follow(void)
{
    if (hooked || !atomic_load(&wanted))
        return;
    hooked = true;
    rb_add_event_hook2(hook, RUBY_EVENT_RAISE, Qnil,
                       RUBY_EVENT_HOOK_FLAG_SAFE | RUBY_EVENT_HOOK_FLAG_RAW_ARG);
}

void exceptions_forget(void)
{
    if (!hooked || atomic_load(&wanted))
        return;
    hooked = false;
    rb_remove_event_hook(hook);
}
