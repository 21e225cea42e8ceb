/* Handler code: runs inside the sampling signal. No allocation, locks, stdio or errno. */
#include "unwind/search.h"

#include "unwind/arch.h"
#include "unwind/lookup.h"
#include "unwind/stepped.h"

enum { CONFIRMED = 256 }; /* frames at most that a caller is followed for */

/* Has the trial come to a call of that function? What earlier calls have left on the stack
 * leads to frames that are there now, and so to a call of another one. */
static bool has_called(const struct walk *trial, uintptr_t function)
{
    return function == 0 || trial->at.live || straight_follows_call_to(trial->at.pc, function);
}

static bool lies_below(const struct saved_register *saved, uintptr_t cfa, uintptr_t sp)
{
    return saved->kind == SAVED_AT_CFA && cfa + (uintptr_t)(intptr_t)saved->offset < sp;
}

/* A frame holds what its function has saved in it: above the stack pointer that a call has
 * left. The CFA that a word of the stack leads to by chance may be too near. */
static bool is_too_small(const struct unwind_rule *rule, uintptr_t cfa, uintptr_t sp)
{
    return lies_below(&rule->fp, cfa, sp) || lies_below(&rule->base, cfa, sp);
}

/* Leaves the frame of the caller whose frame pointer is a guess. */
static bool leave_guessed(struct walk *trial)
{
    const uintptr_t pc = trial->at.pc - 1, sp = trial->at.sp;
    const struct module *module = lookup_module(trial, pc);
    const struct unwind_rule *rule =
        lookup_is_of_file(module) ? lookup_rule(trial, module, pc) : NULL;
    const struct unwind_rule kept = rule ? *rule : (struct unwind_rule){0};
    return trial->leave(trial, pc) && !(rule && is_too_small(&kept, trial->cfa, sp));
}

bool search_confirm(const struct walk *walk, const struct cursor *caller, uintptr_t function,
                    struct search *search)
{
    struct walk trial = *walk;
    trial.trial = true;
    leave_to(&trial, caller->pc, caller->sp, caller->fp, UNKNOWN);
    for (size_t i = 0; i < CONFIRMED; i++) {
        if (trial.at.pc == 0)
            return true;
        if (search->steps == 0)
            return false;
        --search->steps;
        if (i > 0 && i < search->called)
            function = lookup_function(&trial, trial.at.pc - 1);
        bool stepped = stepped_tried(&trial);
        const struct module *module = stepped ? NULL : lookup_module(&trial, trial.at.pc - 1);
        if (!stepped && !lookup_is_of_file(module))
            return (module || search->generated) && i >= search->confirmed;
        if (!stepped &&
            !(i == 0 ? leave_guessed(&trial) : trial.leave(&trial, trial.at.pc - 1)))
            return trial.untabled && i >= search->confirmed;
        if (i < search->called && !has_called(&trial, function))
            return false;
    }
    return true;
}

/* Is there a frame of the caller's at that stack pointer? The frame pointer is what it was, or
 * is among what the code has pushed below the return address at `slot`: first, if it is one
 * function. */
static bool take_frame(struct walk *walk, uintptr_t slot, uintptr_t pc, uintptr_t sp,
                       uintptr_t function, struct search *search)
{
    struct cursor caller = {.pc = pc, .sp = sp, .fp = walk->at.fp};
    bool confirmed = search_confirm(walk, &caller, function, search);
    for (uintptr_t at = slot - WORD;
         !confirmed && search->steps > 0 && at >= walk->at.sp && slot - at <= search->pushed;
         at -= WORD)
        confirmed = stack_load(walk->bounds, at, &caller.fp) && caller.fp > slot &&
                    stack_holds(walk->bounds, caller.fp, WORD) &&
                    search_confirm(walk, &caller, function, search);
    return confirmed && leave_to(walk, pc, sp, caller.fp, UNKNOWN);
}

bool search_take_caller(struct walk *walk, uintptr_t slot, uintptr_t pc, struct search *search)
{
    const uintptr_t align = ARCH_LINK_REGISTER ? 2 * WORD : WORD;
    const uintptr_t above = ARCH_LINK_REGISTER ? ARCH_FRAME_ABOVE : WORD;
    uintptr_t function = search->called > 0 ? lookup_function(walk, pc - 1) : 0;
    for (uintptr_t sp = (slot + align) & ~(align - 1); sp <= slot + above; sp += align)
        if (take_frame(walk, slot, pc, sp, function, search))
            return true;
    return false;
}
