/* Handler code: runs inside the sampling signal. No allocation, locks, stdio or errno. */
#include "unwind/search_file.h"

#include <sys/auxv.h>

#include "unwind/arch.h"
#include "unwind/leave.h"
#include "unwind/lookup.h"
#include "unwind/search.h"
#include "unwind/straight.h"

enum {
    LOOKED_AT_OF_FILE = 2048, /* words, as frames may hold buffers, */
    TRIES_OF_FILE = 64,       /* and how many of them that point into code are tried */
    ARGUMENTS = 4096, /* of a program, that are looked at to know where its stack begins, */
    CALLED = 4,       /* callers that must have been called as what they are, at best */
    AUXILIARY = 64,   /* and pairs of what else the kernel tells it */
    BEGINNING = 32,   /* words up to there from what calls a first function */
};

/* Where the next word of zero is among a number of them; 0: none. */
static uintptr_t next_zero(const struct walk *walk, uintptr_t at)
{
    uintptr_t word;
    for (size_t i = 0; i < ARGUMENTS && stack_load(walk->bounds, at, &word); i++, at += WORD)
        if (word == 0)
            return at;
    return 0;
}

/* Is that where the kernel has put what the program is to know: how many arguments there are,
 * where each is, zero, the same of the environment, and pairs of a number and a value? There
 * the main thread's stack begins. */
static bool is_of_arguments(const struct walk *walk, uintptr_t at)
{
    uintptr_t count, key, value, end, zero;
    if (!stack_load(walk->bounds, at, &count) || count >= ARGUMENTS ||
        !stack_load(walk->bounds, at + (count + 1) * WORD, &end) || end != 0)
        return false; /* so are nearly all numbers: nothing more is read for these */
    zero = next_zero(walk, at + WORD);
    if (zero != at + (count + 1) * WORD)
        return false;
    zero = next_zero(walk, zero + WORD);
    for (size_t i = 0; zero != 0 && i < AUXILIARY; i++) {
        uintptr_t pair = zero + WORD + i * 2 * WORD;
        if (!stack_load(walk->bounds, pair, &key) ||
            !stack_load(walk->bounds, pair + WORD, &value))
            return false;
        if (key == AT_EXECFN)
            return value == getauxval(AT_EXECFN);
    }
    return false;
}

bool search_began_here(struct walk *walk)
{
    uintptr_t word, at = walk->at.sp;
    const struct module *module = lookup_module(walk, walk->at.pc - 1);
    if (walk->at.live || !straight_follows_indirect_call(walk->at.pc))
        return false;
    for (size_t i = 0; i < BEGINNING && stack_load(walk->bounds, at, &word); i++, at += WORD) {
        bool last =
            word > PAGE && lookup_module(walk, word - 1) == module && straight_exits(word);
        if (last || (word != 0 && word <= PAGE && is_of_arguments(walk, at)))
            return true;
    }
    return false;
}

/* May code that the runtime knows, or a file's with unwind information, have made the call? */
static bool may_call(struct walk *walk, const struct module *callee, uintptr_t pc)
{
    const struct module *module = lookup_module(walk, pc - 1);
    return module != callee && (lookup_is_of_file(module) || walk->step_asleep ||
                                (walk->runtime && walk->runtime->step));
}

/* One look over the stack. 1: walk->at is the caller; 0: there is none up to the thread's first
 * function; -1: there is none as far as was looked. */
static int look_once(struct walk *walk, const struct module *callee, struct search *search)
{
    uintptr_t slot = (walk->at.sp + WORD - 1) & ~(uintptr_t)(WORD - 1);
    unsigned tries = 0;
    for (size_t i = 0; i < LOOKED_AT_OF_FILE && tries < TRIES_OF_FILE && search->steps > 0;
         i++, slot += WORD) {
        uintptr_t pc;
        if (!stack_load(walk->bounds, slot, &pc))
            return -1;
        if (pc <= PAGE) {
            if (pc != 0 && is_of_arguments(walk, slot))
                return 0;
            continue;
        }
        pc = arch_strip(pc);
        const struct module *module = lookup_module(walk, pc - 1);
        if (module == callee && straight_exits(pc))
            return 0;
        if (!may_call(walk, callee, pc) || ++tries > TRIES_OF_FILE)
            continue;
        if (straight_follows_call_into(pc, search->callee) &&
            search_take_caller(walk, slot, pc, search))
            return 1;
    }
    return -1;
}

/* The caller of the interrupted function, if that has not put its address on the stack: where
 * calls leave it in a register. */
static bool look_in_register(struct walk *walk, const struct module *callee,
                             struct search *search)
{
    if (!ARCH_LINK_REGISTER || !walk->at.live)
        return false;
    uintptr_t pc = arch_strip(arch_register(walk->at.live, ARCH_DWARF_RA));
    uintptr_t slot = walk->at.sp - 2 * WORD;
    return pc > PAGE && may_call(walk, callee, pc) &&
           straight_follows_call_into(pc, search->callee) &&
           search_take_caller(walk, slot, pc, search);
}

/* Code of a file that has no unwind information, as nearly all of musl's: the next return
 * address on the stack is believed that follows a call of that file, in a function that its own
 * caller has called, as have the next callers theirs, if the frames above confirm it; if there
 * is none, one of which less is true: compilers make jumps of calls that functions end with.
 * Functions of the same file between the two are left out. */
static bool look_for_caller_of(struct walk *walk, const struct module *module)
{
    const struct code_range callee = {.start = module->start, .limit = module->limit};
    const struct search searches[] = {{.callee = &callee, .called = CALLED, .confirmed = 1},
                                      {.callee = &callee, .called = 1, .confirmed = 1},
                                      {.callee = &callee, .confirmed = CONFIRMED_AT_LEAST},
                                      {.called = 1, .confirmed = CONFIRMED_AT_LEAST}};
    bool first = false;
    for (size_t i = 0; i < sizeof searches / sizeof *searches; i++) {
        struct search search = searches[i];
        search.pushed = LOOKED_AT_OF_FILE * WORD;
        search.steps = STEPS;
        if (look_in_register(walk, module, &search))
            return true;
        int found = look_once(walk, module, &search);
        if (found > 0)
            return true;
        first = first || found == 0;
    }
    return first && !walk->at.live && leave_to(walk, 0, walk->at.sp, UNKNOWN, UNKNOWN);
}

/* Does the frame pointer point to a return address of a call of that file? */
static bool keeps_frame_pointer(const struct walk *walk, const struct module *module)
{
    const struct code_range callee = {.start = module->start, .limit = module->limit};
    uintptr_t pc;
    return walk->at.fp >= walk->at.sp && stack_load(walk->bounds, walk->at.fp + WORD, &pc) &&
           straight_follows_call_into(arch_strip(pc), &callee) &&
           !straight_follows_indirect_call(arch_strip(pc));
}

bool search_untabled(struct walk *walk, const struct module *module)
{
    if (!module->search)
        return leave_by_frame_pointer(walk);
    if (keeps_frame_pointer(walk, module) && leave_by_frame_pointer(walk))
        return true;
    walk->untabled = walk->trial;
    if (walk->trial)
        return false;
    if (!walk->searched && look_for_caller_of(walk, module))
        return true;
    walk->searched = true;
    walk->end = WALK_NO_RULE;
    return leave_by_frame_pointer(walk);
}

bool search_by_link(struct walk *walk)
{
    if (!ARCH_LINK_REGISTER || !walk->at.live)
        return false;
    const struct cursor caller = {.pc = arch_strip(arch_register(walk->at.live, ARCH_DWARF_RA)),
                                  .sp = walk->at.sp,
                                  .fp = walk->at.fp};
    const struct module *module = caller.pc > PAGE ? lookup_module(walk, caller.pc - 1) : NULL;
    struct search search = GENERATED_SEARCH;
    return lookup_is_of_file(module) && lookup_rule(walk, module, caller.pc - 1) &&
           straight_follows_call_to(caller.pc, 0) &&
           search_confirm(walk, &caller, 0, &search) &&
           leave_to(walk, caller.pc, caller.sp, caller.fp, walk->at.base);
}
