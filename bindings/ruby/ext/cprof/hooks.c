#include "hooks.h"

#include <stdbool.h>

#include <cprof/cprof.h>

#include "asleep.h"
#include "context.h"
#include "locks.h"
#include "module.h"
#include "slots.h"
#include "threads.h"
#include "walk.h"

static bool in_child; /* of a fork of Ruby's */

static void go_on_in_child(void)
{
    walk_older_count = 0; /* the parent's */
    asleep_none();
    locks_child();
    module_forked();
    cprof_fork_child();
    if (!cprof_is_running())
        slots_close();
    slots_settle();
    if (cprof_is_running()) {
        threads_enter_current();
        context_reload();
    }
}

static VALUE fork_begins(VALUE self)
{
    (void)self;
    cprof_fork_prepare();
    return Qnil;
}

/* fork_ends(pid): what _fork has returned; nil: it has failed. */
static VALUE fork_ends(VALUE self, VALUE pid)
{
    (void)self;
    if (pid == INT2FIX(0)) {
        in_child = true;
        go_on_in_child();
    } else {
        cprof_fork_parent();
    }
    return Qnil;
}

/* daemon_ends(done): the parent is gone when Process.daemon returns. */
static VALUE daemon_ends(VALUE self, VALUE done)
{
    (void)self;
    if (RTEST(done))
        go_on_in_child();
    else
        cprof_fork_parent();
    return Qnil;
}

static VALUE deliver_in_child(VALUE self)
{
    (void)self;
    if (in_child)
        module_end();
    return Qnil;
}

static VALUE tell_name(VALUE self, VALUE thread)
{
    (void)self;
    threads_tell_name(thread);
    return Qnil;
}

static bool stops_at_exit;

static void stop_at_exit(VALUE unused)
{
    (void)unused;
    stops_at_exit = false;
    module_end();
}

void hooks_stop_at_exit(void)
{
    if (!stops_at_exit)
        rb_set_end_proc(stop_at_exit, Qnil);
    stops_at_exit = true;
}

void hooks_install(void)
{
    VALUE process = rb_singleton_class(rb_mProcess);
    rb_prepend_module(process, rb_path2class("Cprof::Hooks::Fork"));
    rb_prepend_module(process, rb_path2class("Cprof::Hooks::Daemon"));
    rb_prepend_module(process, rb_path2class("Cprof::Hooks::HardExit"));
    rb_prepend_module(rb_singleton_class(rb_mKernel), rb_path2class("Cprof::Hooks::HardExit"));
    rb_prepend_module(rb_mKernel, rb_path2class("Cprof::Hooks::PrivateHardExit"));
    rb_prepend_module(rb_cThread, rb_path2class("Cprof::Hooks::ThreadName"));
}

void hooks_init(VALUE native)
{
    rb_define_singleton_method(native, "fork_begins", fork_begins, 0);
    rb_define_singleton_method(native, "fork_ends", fork_ends, 1);
    rb_define_singleton_method(native, "daemon_ends", daemon_ends, 1);
    rb_define_singleton_method(native, "deliver_in_child", deliver_in_child, 0);
    rb_define_singleton_method(native, "tell_name", tell_name, 1);
}
