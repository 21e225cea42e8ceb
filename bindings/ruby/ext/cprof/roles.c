#include "roles.h"

#include <stdbool.h>
#include <string.h>
#include <unwind.h>

#include "layout.h"
#include "walk.h"

#define LEARNED_MAX 64

static uintptr_t learned[LEARNED_MAX]; /* where functions begin */
static size_t learned_count;

static uintptr_t function_at(uintptr_t pc)
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
    uintptr_t previous; /* the function of the frame seen before */
    bool inside;
};

static _Unwind_Reason_Code learn_frame(struct _Unwind_Context *context, void *argument)
{
    struct stretch *stretch = argument;
    uintptr_t function = function_at(_Unwind_GetIP(context));
    uintptr_t callee_end = _Unwind_GetCFA(context);
    if (stretch->inside) {
        /* The frame seen before ends where its caller's begins. */
        if (stretch->previous != 0 && !is_learned(stretch->previous) &&
            learned_count < LEARNED_MAX)
            learned[learned_count++] = stretch->previous;
        if (callee_end > stretch->last || function == stretch->until)
            return _URC_END_OF_STACK;
        stretch->previous = function;
    } else if (function == stretch->first) {
        stretch->inside = true;
    }
    return _URC_NO_REASON;
}

/* A C method that Ruby code calls: what lies between it and its interpreter loop is plumbing,
 * and so is that loop, where no Ruby frame claims it. */
static VALUE probe(int count, VALUE *arguments, VALUE self)
{
    (void)count;
    (void)arguments;
    uintptr_t ec = walk_context(layout_thread(rb_thread_current()));
    struct stretch stretch = {
        .first = function_at((uintptr_t)probe + 1),
        .last = word_at(ec, EC_TAG),
        .until = function_at((uintptr_t)rb_funcallv + 1),
    };
    _Unwind_Backtrace(learn_frame, &stretch);
    return self;
}

/* A C method that calls another as C code does. */
static VALUE probe_from_c(VALUE self)
{
    return rb_funcallv(self, rb_intern("probe"), 0, NULL);
}

static VALUE call_probes(VALUE native)
{
    rb_define_singleton_method(native, "probe", probe, -1);
    rb_define_singleton_method(native, "probe_from_c", probe_from_c, 0);
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
                                                   "proc { probe }.call\n")},
                         native);
    rb_undef_method(rb_singleton_class(native), "probe");
    rb_undef_method(rb_singleton_class(native), "probe_from_c");
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
    uintptr_t function = function_at(pc);
    return function != 0 && is_learned(function) ? CPROF_ROLE_PLUMBING : CPROF_ROLE_PLAIN;
}

/* By name, for builds that have symbols. Names with ours as a prefix are parts and variants. */
enum cprof_role roles_of(const char *symbol, const char *module)
{
    static const char *const loops[] = {"rb_vm_exec", "vm_exec"};
    static const char *const plumbing[] = {
        "vm_call",      "vm_sendish",  "vm_invoke",      "vm_yield", "rb_vm_call", "rb_call0",
        "invoke_block", "invoke_iseq", "invoke_bmethod", "jit_exec", "mjit_exec",
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
