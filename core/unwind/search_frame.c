/* Handler code: runs inside the sampling signal. No allocation, locks, stdio or errno. */
#include "unwind/search_frame.h"

#include "unwind/arch.h"
#include "unwind/lookup.h"
#include "unwind/search.h"
#include "unwind/search_file.h"
#include "unwind/stepped.h"
#include "unwind/straight.h"

enum { FRAME_BYTES = 32 << 10 }; /* that a frame may have: uv__io_poll() has 12 KiB of events */

/* Do the frames lead to the thread's first function? */
static bool goes_on_to_first(struct walk *trial, unsigned *steps)
{
    bool leads = true;
    while (leads && trial->at.pc != 0 && *steps > 0) {
        --*steps;
        leads = stepped_tried(trial) || trial->leave(trial, trial->at.pc - 1);
    }
    return leads ? trial->at.pc == 0 : trial->untabled && search_began_here(trial);
}

/* With its frame pointer there, do the frames lead to the thread's first function? */
static bool leads_to_first(const struct walk *walk, const struct unwind_rule *rule,
                           uintptr_t fp, unsigned *steps)
{
    struct walk trial = *walk;
    trial.trial = true;
    trial.at.fp = fp;
    return leave_by_rule(&trial, rule) && goes_on_to_first(&trial, steps);
}

/* Is there a frame of the function that begins at `start` where the frame pointer would be?
 * `named`: and the call says which function it is of. */
static bool is_frame(struct walk *walk, const struct unwind_rule *rule, uintptr_t start,
                     uintptr_t fp, bool named, unsigned *steps)
{
    uintptr_t pc = 0, cfa = fp + (uintptr_t)(intptr_t)rule->cfa_offset;
    return stack_load(walk->bounds, cfa + (uintptr_t)(intptr_t)rule->ra.offset, &pc) &&
           pc > PAGE && lookup_is_of_file(lookup_module(walk, pc - 1)) &&
           straight_follows_call_to(pc, start) &&
           (!named || !straight_follows_indirect_call(pc)) &&
           leads_to_first(walk, rule, fp, steps);
}

/* The distance of the first such frame from the stack pointer; FRAME_BYTES: there is none. */
static uintptr_t find_frame(struct walk *walk, const struct unwind_rule *rule, uintptr_t start,
                            bool named)
{
    unsigned steps = STEPS;
    uintptr_t at = 0;
    while (at < FRAME_BYTES && steps > 0 &&
           !is_frame(walk, rule, start, walk->at.sp + at, named, &steps))
        at += WORD;
    return steps > 0 ? at : FRAME_BYTES;
}

/* Where it was the last time, if it can be there again; else where it is found. */
static uintptr_t distance_of_frame(struct walk *walk, const struct unwind_rule *rule,
                                   uintptr_t start, uintptr_t pc)
{
    const struct learnt_frame *learnt = copied_learnt(walk->bounds->copied, pc);
    unsigned steps = STEPS;
    if (learnt->pc == pc &&
        is_frame(walk, rule, start, walk->at.sp + learnt->distance, false, &steps))
        return learnt->distance;
    if (start == 0)
        return find_frame(walk, rule, start, false);
    const uintptr_t distance = find_frame(walk, rule, start, true);
    return distance != FRAME_BYTES ? distance : find_frame(walk, rule, start, false);
}

static bool leave_by_frame_at(struct walk *walk, const struct unwind_rule *rule, uintptr_t fp)
{
    walk->at.fp = fp;
    return leave_by_rule(walk, rule);
}

/* It returns to where it did when that was tried: then the walk itself is the trial, and begins
 * anew if it fails (walk.c). */
static bool is_as_learnt(struct walk *walk, const struct unwind_rule *rule,
                         const struct learnt_frame *learnt)
{
    const uintptr_t cfa =
        walk->at.sp + learnt->distance + (uintptr_t)(intptr_t)rule->cfa_offset;
    uintptr_t pc = 0;
    return !walk->unlearnt && learnt->serial == walk->map->serial &&
           stack_load(walk->bounds, cfa + (uintptr_t)(intptr_t)rule->ra.offset, &pc) &&
           pc == learnt->caller;
}

/* What the frame there returns to was checked, as it was found. */
static void learn(struct walk *walk, const struct unwind_rule *rule, uintptr_t distance,
                  uintptr_t pc)
{
    const uintptr_t cfa = walk->at.sp + distance + (uintptr_t)(intptr_t)rule->cfa_offset;
    uintptr_t caller = 0;
    (void)stack_load(walk->bounds, cfa + (uintptr_t)(intptr_t)rule->ra.offset, &caller);
    *copied_learnt(walk->bounds->copied, pc) = (struct learnt_frame){
        .pc = pc, .distance = distance, .caller = caller, .serial = walk->map->serial};
}

/* A function that keeps its frame pointer across the call in which the thread sleeps, of which
 * the kernel tells only the pc and the stack pointer: the next place on the stack is believed
 * that holds a return address of a call of that function, and from which the walk reaches the
 * thread's first function. Less would be wrong now and then: stacks are full of what earlier
 * calls left. A call by a pointer is believed only where no other one is found. How far it was
 * from the stack pointer is mostly the same the next time. */
static bool search_frame(struct walk *walk, const struct unwind_rule *rule)
{
    if (walk->trial || rule->ra.kind != SAVED_AT_CFA)
        return false;
    const uintptr_t pc = walk->at.live ? walk->at.pc : walk->at.pc - 1, sp = walk->at.sp;
    const struct learnt_frame learnt = *copied_learnt(walk->bounds->copied, pc);
    if (learnt.pc == pc && is_as_learnt(walk, rule, &learnt)) {
        walk->learnt = true;
        return leave_by_frame_at(walk, rule, sp + learnt.distance);
    }
    const uintptr_t start = lookup_function(walk, pc);
    const uintptr_t distance = distance_of_frame(walk, rule, start, pc);
    if (distance == FRAME_BYTES)
        return false;
    learn(walk, rule, distance, pc);
    return leave_by_frame_at(walk, rule, sp + distance);
}

/* The frame pointer may just not be known. Trials look rules up, and so may take this one's
 * place in the cache. */
bool search_lost_frame(struct walk *walk, const struct unwind_rule *rule)
{
    const struct unwind_rule kept = *rule;
    bool unknown = walk->at.fp == UNKNOWN && kept.cfa_kind == CFA_REGISTER &&
                   kept.cfa_reg == ARCH_DWARF_FP;
    return unknown && walk->end == WALK_BAD_STACK && walk->bounds->copied &&
           search_frame(walk, &kept);
}

/* Does that frame pointer lead from a frame of the runtime's to the thread's first function? */
static bool is_runtimes_frame(const struct walk *walk, uintptr_t fp, unsigned *steps)
{
    struct walk trial = *walk;
    trial.trial = true;
    trial.at.fp = fp;
    struct cprof_registers registers = stepped_registers(&trial);
    return walk->step_asleep(walk->sleeper, &registers, NULL) &&
           stepped_leave(&trial, &registers) && goes_on_to_first(&trial, steps);
}

static bool has_rule(struct walk *walk, uintptr_t pc)
{
    const struct module *module = lookup_module(walk, pc);
    return lookup_is_of_file(module) && lookup_rule(walk, module, pc);
}

void search_runtimes_frame(struct walk *walk)
{
    unsigned steps = STEPS;
    if (walk->at.fp != UNKNOWN || has_rule(walk, walk->at.pc - 1))
        return;
    for (uintptr_t i = 0; i < LOOKED_AT && steps > 0; i++)
        if (is_runtimes_frame(walk, walk->at.sp + i * WORD, &steps)) {
            walk->at.fp = walk->at.sp + i * WORD;
            return;
        }
}
