#include "roles.h"

#include <stdbool.h>
#include <string.h>
#include <unwind.h>

#include "layout.h"
#include "walk.h"

#define LEARNED_MAX 64

static uintptr_t learned[LEARNED_MAX]; /* where functions begin */
static size_t learned_count;

uintptr_t roles_function_at(uintptr_t pc)
{
    return (uintptr_t)_Unwind_FindEnclosingFunction((void *)pc);
}

static bool is_learned(uintptr_t function)
{
    for (size_t i = 0; i < learned_count; i++)
        if (learned[i] == function)
            return true;
    return false;
}

/* A stretch of the native stack: from the caller of `first` to the frame that holds the
 * address `last`, or the one before the function `until`. */
struct stretch {
    uintptr_t first, last, until;
    uintptr_t outside;  /* the function that runs the probes */
    uintptr_t previous; /* the function of the frame seen before */
    bool inside, ended;
};

static _Unwind_Reason_Code learn_frame(struct _Unwind_Context *context, void *argument)
{
    struct stretch *stretch = argument;
    uintptr_t function = roles_function_at(_Unwind_GetIP(context));
    uintptr_t callee_end = _Unwind_GetCFA(context);
    if (function == stretch->outside)
        return _URC_END_OF_STACK;
    if (stretch->inside) {
        /* The frame seen before ends where its caller's begins. */
        if (stretch->previous != 0 && !is_learned(stretch->previous) &&
            learned_count < LEARNED_MAX)
            learned[learned_count++] = stretch->previous;
        stretch->ended = callee_end > stretch->last || function == stretch->until;
        if (stretch->ended)
            return _URC_END_OF_STACK;
        stretch->previous = function;
    } else if (function == stretch->first) {
        stretch->inside = true;
    }
    return _URC_NO_REASON;
}

static uintptr_t innermost_tag(void)
{
    return word_at(walk_context(layout_thread(rb_thread_current())), EC_TAG);
}

static VALUE call_probes(VALUE native);

/* From a C method up to a stack address, or to a function that comes before it. Nothing is
 * learned where neither is found, or it would make plumbing of all that has called us: a method
 * that a block defines has no loop of its own since 3.3. */
static void learn(VALUE (*method)(int count, VALUE *arguments, VALUE self), uintptr_t last,
                  uintptr_t until)
{
    struct stretch stretch = {
        .first = roles_function_at((uintptr_t)method + 1),
        .last = last,
        .until = roles_function_at(until + 1),
        .outside = roles_function_at((uintptr_t)call_probes + 1),
    };
    size_t before = learned_count;
    _Unwind_Backtrace(learn_frame, &stretch);
    if (!stretch.ended)
        learned_count = before;
}

/* A C method that Ruby code calls: what lies between it and its interpreter loop is plumbing,
 * and so is that loop, where no Ruby frame claims it. */
static VALUE probe(int count, VALUE *arguments, VALUE self)
{
    (void)count;
    (void)arguments;
    learn(probe, innermost_tag(), (uintptr_t)rb_funcallv);
    return self;
}

/* A C method that calls another as C code does. */
static VALUE probe_from_c(VALUE self)
{
    return rb_funcallv(self, rb_intern("probe"), 0, NULL);
}

/* Called by a method that a block defines, which has an interpreter loop of its own: what
 * lies between that and the next is plumbing too. */
static VALUE probe_in_block(int count, VALUE *arguments, VALUE self)
{
    (void)count;
    (void)arguments;
#ifdef TAG_RESUME
    uintptr_t outer = walk_loop_tag(word_at(innermost_tag(), TAG_PREVIOUS));
    if (outer != 0)
        learn(probe_in_block, outer, (uintptr_t)rb_funcallv);
#endif
    return self;
}

/* A C method that yields to a block, and one that the block calls: how a block is entered. */
static VALUE probe_yielding(VALUE self)
{
    rb_yield(self);
    RB_GC_GUARD(self); /* no jump to rb_yield(): this is the stretch's end */
    return self;
}

static VALUE probe_yielded(int count, VALUE *arguments, VALUE self)
{
    (void)count;
    (void)arguments;
    learn(probe_yielded, UINTPTR_MAX, (uintptr_t)probe_yielding);
    return self;
}

/* A C method that calls another with a block of its own, as most of Enumerable calls each. */
static VALUE probe_each(int count, VALUE *arguments, VALUE self)
{
    (void)count;
    (void)arguments;
    learn(probe_each, UINTPTR_MAX, (uintptr_t)rb_block_call);
    return self;
}

static VALUE take_nothing(RB_BLOCK_CALL_FUNC_ARGLIST(value, unused))
{
    (void)value;
    (void)unused;
    (void)argc;
    (void)argv;
    (void)blockarg;
    return Qnil;
}

static VALUE probe_enumerating(VALUE self)
{
    return rb_block_call(self, rb_intern("probe_each"), 0, NULL, take_nothing, Qnil);
}

static VALUE call_probes(VALUE native)
{
    static const char *const names[] = {"probe",          "probe_from_c",     "probe_in_block",
                                        "probe_yielding", "probe_yielded",    "probe_defined",
                                        "probe_each",     "probe_enumerating"};
    rb_define_singleton_method(native, "probe", probe, -1);
    rb_define_singleton_method(native, "probe_from_c", probe_from_c, 0);
    rb_define_singleton_method(native, "probe_in_block", probe_in_block, -1);
    rb_define_singleton_method(native, "probe_yielding", probe_yielding, 0);
    rb_define_singleton_method(native, "probe_yielded", probe_yielded, -1);
    rb_define_singleton_method(native, "probe_each", probe_each, -1);
    rb_define_singleton_method(native, "probe_enumerating", probe_enumerating, 0);
    rb_obj_instance_eval(1,
                         (VALUE[]){rb_str_new_cstr("probe\n"
                                                   "probe_from_c\n"
                                                   "probe(1, 2)\n"
                                                   "probe(*[1])\n"
                                                   "probe(a: 1)\n"
                                                   "probe(**{a: 1})\n"
                                                   "probe { }\n"
                                                   "probe(&:to_s)\n"
                                                   "send(:probe)\n"
                                                   "__send__(:probe, 1)\n"
                                                   "public_send(:probe)\n"
                                                   "3.times { probe }\n"
                                                   "proc { probe }.call\n"
                                                   "define_singleton_method(:probe_defined) "
                                                   "{ probe_in_block }\n"
                                                   "probe_defined\n"
                                                   "probe_yielding { probe_yielded }\n"
                                                   "probe_enumerating\n")},
                         native);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        rb_undef_method(rb_singleton_class(native), names[i]);
    return Qnil;
}

void roles_learn(VALUE native)
{
    if (!layout.trusted || learned_count > 0)
        return;
    int failed = 0;
    rb_protect(call_probes, native, &failed);
    if (failed)
        rb_set_errinfo(Qnil);
}

enum cprof_role roles_at(uintptr_t pc)
{
    if (pc - walk_jit.start < atomic_load(&walk_jit.size))
        return CPROF_ROLE_PLUMBING;
    uintptr_t function = roles_function_at(pc);
    return function != 0 && is_learned(function) ? CPROF_ROLE_PLUMBING : CPROF_ROLE_PLAIN;
}

/* By name, for builds that have symbols. Names with ours as a prefix are parts and variants. */
enum cprof_role roles_of(const char *symbol, const char *module)
{
    static const char *const loops[] = {"rb_vm_exec", "vm_exec"};
    static const char *const plumbing[] = {
        "vm_call",
        "vm_sendish",
        "vm_invoke",
        "vm_yield",
        "rb_vm_call",
        "rb_call0",
        "invoke_block",
        "invoke_iseq",
        "invoke_bmethod",
        "jit_exec",
        "mjit_exec",
        "call_cfunc",
        "ractor_safe_call_cfunc",
        /* From the function that makes an object to the hook that sees it. */
        "newobj_slowpath",
        "gc_event_hook",
        "rb_gc_event_hook",
        "rb_exec_event_hooks",
        "exec_hooks",
    };
    if (symbol == NULL || strstr(module, "ruby") == NULL)
        return CPROF_ROLE_PLAIN;
    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++)
        if (strncmp(symbol, loops[i], strlen(loops[i])) == 0)
            return CPROF_ROLE_INTERPRETER;
    for (size_t i = 0; i < sizeof plumbing / sizeof *plumbing; i++)
        if (strncmp(symbol, plumbing[i], strlen(plumbing[i])) == 0)
            return CPROF_ROLE_PLUMBING;
    return CPROF_ROLE_PLAIN;
}
