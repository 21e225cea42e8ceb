/* Handler code: runs inside the sampling signal. No allocation, locks, stdio or errno. */
#include "unwind/leave.h"

#include "unwind/arch.h"
#include "unwind/lookup.h"

/* The unwind information says where the caller is, but not to us. */
static bool stop_beyond(struct walk *walk)
{
    walk->beyond = true;
    return leave_stop(walk, WALK_NO_RULE);
}

static inline bool known_register(const struct cursor *at, unsigned reg, uintptr_t *value)
{
    switch (reg) {
    case ARCH_DWARF_SP:
        *value = at->sp;
        return true;
    case ARCH_DWARF_FP:
        *value = at->fp;
        return true;
    case ARCH_DWARF_BASE:
        *value = at->base;
        return true;
    default:
        *value = at->live ? arch_register(at->live, reg) : 0;
        return at->live != NULL;
    }
}

static inline bool find_cfa(struct walk *walk, const struct unwind_rule *rule, uintptr_t *cfa)
{
    uintptr_t value;
    if (!known_register(&walk->at, rule->cfa_reg, &value))
        return false;
    value += (uintptr_t)(intptr_t)rule->cfa_offset;
    if (rule->cfa_kind == CFA_DEREFERENCE) {
        if (!stack_load(walk->bounds, value, &value))
            return false;
        value += (uintptr_t)(intptr_t)rule->cfa_extra;
    } else if (rule->cfa_kind == CFA_PLT && (walk->at.pc & 15) >= (uintptr_t)rule->cfa_extra) {
        value += WORD;
    }
    *cfa = value;
    return true;
}

/* The caller's value of a register that is neither unchanged nor stored in its frame. */
static bool recover_elsewhere(struct walk *walk, const struct saved_register *saved,
                              uintptr_t *value)
{
    if (saved->kind == SAVED_REGISTER)
        return known_register(&walk->at, saved->reg, value);
    uintptr_t base;
    return saved->kind == SAVED_AT && known_register(&walk->at, saved->reg, &base) &&
           stack_load(walk->bounds, base + (uintptr_t)(intptr_t)saved->offset, value);
}

/* The caller's value of a register that now holds *value. Four of them make up most of what a
 * frame costs, and calls would add a fifth to it: compilers don't see that. */
__attribute__((always_inline)) static inline bool
recover(struct walk *walk, const struct saved_register *saved, uintptr_t cfa, uintptr_t *value)
{
    if (saved->kind == SAVED_SAME)
        return true;
    if (saved->kind == SAVED_AT_CFA)
        return stack_load(walk->bounds, cfa + (uintptr_t)(intptr_t)saved->offset, value);
    return recover_elsewhere(walk, saved, value);
}

READS_STACK bool leave_signal(struct walk *walk)
{
    const void *ucontext = stack_look_at(walk->bounds, walk->at.sp + ARCH_SIGNAL_UCONTEXT,
                                         ARCH_UCONTEXT_REGISTERS);
    if (!ucontext)
        return leave_stop(walk, WALK_BAD_STACK);
    walk->at = leave_cursor(ucontext);
    walk->cfa = walk->at.sp;
    bool elsewhere = !stack_holds(walk->bounds, walk->at.sp, WORD);
    if (elsewhere && !stack_change(walk->bounds, walk->at.sp))
        return leave_stop(walk, WALK_BAD_STACK);
    return true;
}

/* Leaves a thread's first function: for no pc at all. */
static bool leave_thread(struct walk *walk, const struct unwind_rule *rule)
{
    uintptr_t cfa;
    if (!find_cfa(walk, rule, &cfa) || !leave_ascends(walk, cfa))
        cfa = walk->at.sp;
    return leave_to(walk, 0, cfa, UNKNOWN, UNKNOWN);
}

bool leave_by_rule(struct walk *walk, const struct unwind_rule *rule)
{
    uintptr_t pc = 0;
    uintptr_t fp = walk->at.fp;
    uintptr_t base = walk->at.base;
    uintptr_t cfa;
    if (rule->cfa_kind == CFA_SIGNAL)
        return leave_signal(walk);
    if (rule->cfa_kind == CFA_BEYOND)
        return stop_beyond(walk);
    if (rule->ra.kind == SAVED_LOST)
        return leave_thread(walk, rule);
    if (rule->ra.kind == SAVED_SAME && (!ARCH_LINK_REGISTER || !walk->at.live))
        return leave_stop(walk, WALK_NO_RULE);
    if (rule->ra.kind == SAVED_SAME)
        pc = arch_register(walk->at.live, ARCH_DWARF_RA);
    if (!find_cfa(walk, rule, &cfa))
        return stop_beyond(walk); /* by a register that is not followed */
    uintptr_t sp = cfa;
    if (!recover(walk, &rule->sp, cfa, &sp) || !leave_ascends(walk, sp) ||
        !recover(walk, &rule->ra, cfa, &pc))
        return leave_stop(walk, WALK_BAD_STACK);
    /* These two only matter to callers that use them: a walk goes on without. */
    bool has_fp = recover(walk, &rule->fp, cfa, &fp);
    bool has_base = recover(walk, &rule->base, cfa, &base);
    walk->lost |= !has_fp || !has_base;
    if (!has_fp)
        fp = UNKNOWN;
    if (!has_base)
        base = UNKNOWN;
    return leave_to(walk, pc, sp, fp, base);
}

bool leave_by_frame_pointer(struct walk *walk)
{
    uintptr_t fp = walk->at.fp;
    uintptr_t caller_fp;
    uintptr_t pc;
    /* ABIs have it cleared for a thread's first function. */
    if (fp == 0 && !walk->at.live)
        return leave_to(walk, 0, walk->at.sp, UNKNOWN, UNKNOWN);
    if (fp < walk->at.sp || !stack_load(walk->bounds, fp, &caller_fp) ||
        !stack_load(walk->bounds, fp + WORD, &pc) || !leave_ascends(walk, fp + 2 * WORD))
        return false;
    bool first = pc == 0 && caller_fp == 0 && !walk->at.live;
    if (!first && !lookup_module(walk, arch_strip(pc) - 1))
        return leave_stop(walk,
                          WALK_NO_MODULE); /* compiled at run time, perhaps: worth a look */
    return leave_to(walk, pc, fp + 2 * WORD, caller_fp, UNKNOWN);
}

bool leave_failed_call(struct walk *walk)
{
    const struct cursor *at = &walk->at;
    uintptr_t pc;
    if (!at->live)
        return false;
    if (ARCH_LINK_REGISTER)
        pc = arch_register(at->live, ARCH_DWARF_RA);
    else if (!stack_load(walk->bounds, at->sp, &pc))
        return false;
    if (!lookup_module(walk, arch_strip(pc) - 1))
        return false;
    return leave_to(walk, pc, ARCH_LINK_REGISTER ? at->sp : at->sp + WORD, at->fp, at->base);
}
