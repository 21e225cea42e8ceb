#include "pauses.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

#include <ruby.h>
#include <ruby/debug.h>

#include <cprof/sample.h>

#define EVENTS                                                                                 \
    (RUBY_INTERNAL_EVENT_GC_ENTER | RUBY_INTERNAL_EVENT_GC_START | RUBY_INTERNAL_EVENT_GC_EXIT)

static atomic_bool wanted;
static VALUE tracer; /* 0: none yet. Under the GVL */
static bool enabled;
static CPROF_THREAD_LOCAL unsigned collections; /* begun in this pause */

/* The causes as GC.latest_gc_info has them, found before a collection asks. */
static struct {
    VALUE by, major_by;
    VALUE symbols[5];
} causes;
static const char *const words[] = {"newobj", "malloc", "method", "capi", "stress"};

static void find_causes(void)
{
    causes.by = ID2SYM(rb_intern("gc_by"));
    causes.major_by = ID2SYM(rb_intern("major_by"));
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        causes.symbols[i] = ID2SYM(rb_intern(words[i]));
    (void)rb_gc_latest_gc_info(causes.by); /* which finds its own the first time */
}

static uint32_t kind_now(void)
{
    char text[32];
    const char *cause = "unknown";
    VALUE by = rb_gc_latest_gc_info(causes.by);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (causes.symbols[i] == by)
            cause = words[i];
    snprintf(text, sizeof text, "%s/%s", cause,
             NIL_P(rb_gc_latest_gc_info(causes.major_by)) ? "minor" : "major");
    return cprof_kind(text);
}

/* While objects are marked and swept: nothing of Ruby's is allocated or called. */
static void on_event(VALUE point, void *unused)
{
    const struct cprof_registers caller = cprof_caller();
    (void)unused;
    if (!atomic_load_explicit(&wanted, memory_order_relaxed))
        return;
    rb_event_flag_t event = rb_tracearg_event_flag(rb_tracearg_from_tracepoint(point));
    if (event == RUBY_INTERNAL_EVENT_GC_ENTER) {
        collections = 0;
        cprof_gc_begin();
    } else if (event == RUBY_INTERNAL_EVENT_GC_START) {
        collections++;
    } else {
        cprof_gc_end(kind_now(), collections, &caller);
    }
}

int pauses_open(const char **why)
{
    (void)why;
    atomic_store(&wanted, true);
    return 0;
}

void pauses_close(void)
{
    atomic_store(&wanted, false);
}

void pauses_follow(void)
{
    if (enabled || !atomic_load(&wanted))
        return;
    if (tracer == 0) {
        find_causes();
        rb_gc_register_address(&tracer);
        tracer = rb_tracepoint_new(Qnil, EVENTS, on_event, NULL);
    }
    enabled = true;
    rb_tracepoint_enable(tracer);
}

void pauses_forget(void)
{
    if (!enabled || atomic_load(&wanted))
        return;
    enabled = false;
    rb_tracepoint_disable(tracer);
}
