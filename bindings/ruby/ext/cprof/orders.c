#include "orders.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <ruby.h>

#include <cprof/cprof.h>

#include "hooks.h"
#include "module.h"

#define STOP_SECONDS 5.0

static void set(VALUE keywords, const char *name, const char *text)
{
    if (text != NULL)
        rb_hash_aset(keywords, ID2SYM(rb_intern(name)), rb_utf8_str_new_cstr(text));
}

static VALUE start(VALUE given)
{
    const struct cprof_options *options = &((const struct cprof_order *)given)->options;
    VALUE keywords = rb_hash_new();
    set(keywords, "types", options->types);
    set(keywords, "exporter", options->exporter);
    set(keywords, "output", options->output);
    if (options->rate != 0)
        rb_hash_aset(keywords, ID2SYM(rb_intern("rate")), UINT2NUM(options->rate));
    return module_start(options->origin, keywords);
}

static void start_and_tell(struct cprof_order *order)
{
    int failed = 0;
    rb_protect(start, (VALUE)order, &failed);
    if (!failed) {
        cprof_control_done(0, NULL);
        return;
    }
    char why[256] = "it failed";
    VALUE text = rb_attr_get(rb_errinfo(), rb_intern("mesg"));
    rb_set_errinfo(Qnil);
    if (RB_TYPE_P(text, T_STRING))
        snprintf(why, sizeof why, "%.*s", (int)RSTRING_LEN(text), RSTRING_PTR(text));
    RB_GC_GUARD(text);
    cprof_control_done(-EINVAL, why);
}

static VALUE obey(void *unused)
{
    struct cprof_order order;
    (void)unused;
    if (!cprof_control_take(&order))
        return Qnil;
    if (order.kind == CPROF_ORDER_START) {
        start_and_tell(&order);
        return Qnil;
    }
    if (order.kind == CPROF_ORDER_COLLECT) {
        rb_gc_start();
        cprof_control_done(0, NULL);
        return Qnil;
    }
    int status =
        module_stop(order.kind == CPROF_ORDER_STOP ? cprof_stop_all : cprof_stop, STOP_SECONDS);
    cprof_control_done(0, status == 0 ? NULL : "off, but not all could be delivered");
    return Qnil;
}

static VALUE called(RB_BLOCK_CALL_FUNC_ARGLIST(signal, unused))
{
    (void)signal, (void)unused, (void)argc, (void)argv, (void)blockarg;
    rb_thread_create(obey, NULL);
    return Qnil;
}

static VALUE trap(VALUE handler)
{
    return rb_funcall(rb_path2class("Signal"), rb_intern("trap"), 2,
                      rb_utf8_str_new_cstr("URG"), handler);
}

static bool is_free(VALUE before)
{
    const char *text = RB_TYPE_P(before, T_STRING) ? StringValueCStr(before) : "";
    return NIL_P(before) || strcmp(text, "DEFAULT") == 0 || strcmp(text, "SYSTEM_DEFAULT") == 0;
}

void orders_open(bool all)
{
    char error[512] = "";
    int failed = 0;
    VALUE before = rb_protect(trap, rb_proc_new(called, Qnil), &failed);
    if (failed || !is_free(before)) {
        rb_set_errinfo(Qnil);
        if (!failed)
            rb_protect(trap, before, &failed);
        if (all)
            cprof_say("SIGURG has a handler: this process can't be asked");
        return;
    }
    int status = cprof_control_open("ruby", error, sizeof error);
    if (all && status != 0 && status != -EALREADY)
        cprof_say(error);
    module_prepare();
    hooks_stop_at_exit();
}
