/* Handler code: runs inside the sampling signal. No allocation, locks, stdio or errno. */
#include "unwind/search_generated.h"

#include "unwind/arch.h"
#include "unwind/generated.h"
#include "unwind/leave.h"
#include "unwind/lookup.h"
#include "unwind/search.h"
#include "unwind/search_frame.h"
#include "unwind/straight.h"

enum { TRIES = 24 }; /* words that point into code, and are tried */

/* Code that was made at run time and says nothing of its frames (LLVM's, as numba has it;
 * CPython's JIT) has been called by somebody, and by a pointer, as no file knows its address:
 * the next return address of that kind on the stack is believed if the whole stack above it
 * confirms it. Most of what earlier calls have left there is of another kind. Callers that are
 * such code themselves are left out. */
static bool look_for_caller(struct walk *walk)
{
    uintptr_t sp = (walk->at.sp + WORD - 1) & ~(uintptr_t)(WORD - 1);
    struct search search = GENERATED_SEARCH;
    unsigned tries = 0;
    for (size_t i = 0; i < LOOKED_AT && tries < TRIES; i++, sp += WORD) {
        uintptr_t pc;
        if (!stack_load(walk->bounds, sp, &pc))
            return false;
        if (pc > PAGE && lookup_is_of_file(lookup_module(walk, pc - 1)) && ++tries <= TRIES &&
            straight_follows_indirect_call(pc) && search_take_caller(walk, sp, pc, &search))
            return true;
    }
    return false;
}

/* By a rule that was guessed: where it leads to must be a call of the function, made by other
 * code of that kind, or by code of a file as the whole stack above confirms. */
static bool leave_by_guess(struct walk *walk, const struct unwind_rule *rule,
                           const struct generated_function *function)
{
    struct walk trial = *walk;
    struct unwind_rule theirs;
    struct search search = GENERATED_SEARCH;
    if (!search_leave_by_rule(&trial, rule) || trial.at.pc < PAGE)
        return false;
    const struct cursor caller = trial.at;
    bool file = lookup_is_of_file(lookup_module(&trial, caller.pc - 1));
    if (!file &&
        !generated_find(walk->map->generated, &walk->memory->scratch, caller.pc - 1, &theirs))
        generated_meet(walk->map->met, caller.pc - 1);
    return straight_follows_call_to(caller.pc, function->start) &&
           (!file || search_confirm(walk, &caller, 0, &search)) &&
           search_leave_by_rule(walk, rule);
}

bool search_generated(struct walk *walk)
{
    struct unwind_rule rule, read;
    uintptr_t pc = walk->at.live ? walk->at.pc : walk->at.pc - 1;
    const struct generated_function *function =
        generated_find(walk->map->generated, &walk->memory->scratch, pc, &rule);
    if (function && !function->guessed)
        return search_leave_by_rule(walk, &rule);
    if (straight_rule(walk->at.pc, &read))
        return search_leave_by_rule(walk, &read);
    if (function && leave_by_guess(walk, &rule, function))
        return true;
    if (!function)
        generated_meet(walk->map->met, pc);
    return leave_by_frame_pointer(walk) || (!walk->trial && look_for_caller(walk));
}
