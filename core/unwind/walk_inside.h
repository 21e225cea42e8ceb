/*
 * What the files of the walker share: where a walk is, and the few steps that all of them take.
 * Inside the walker only. Signal-safe.
 *
 * stack.h reads the stack, lookup.h says which code a pc is of, leave.h leaves a frame by a
 * rule, stepped.h by what the runtime says. Where none of these knows the caller, it is
 * searched for: search.h makes sure of one; search_generated.h, search_file.h and
 * search_frame.h say where to look. walk.c puts them in order. Those that search walk on in
 * trial from what they find, by walk->leave(), and so know nothing of walk.c.
 */
#ifndef CPROF_UNWIND_WALK_INSIDE_H
#define CPROF_UNWIND_WALK_INSIDE_H

#include "unwind/arch.h"
#include "unwind/stack.h"

enum { SURE = 4 }; /* modules that a walk goes through, and remembers */

/* What a register holds that could not be recovered: no valid address, as it is unaligned. */
static const uintptr_t UNKNOWN = 1;

struct cursor {
    uintptr_t pc, sp, fp, base;
    const void *live; /* the ucontext that holds all registers of this frame; NULL in callers,
                         of which only the above are known, and pc is a return address */
};

struct walk;

/* Moves to the caller of the frame at walk->at, which has that pc inside an instruction. False:
 * walk->end says why not. */
typedef bool walk_leave(struct walk *walk, uintptr_t pc);

struct walk {
    const struct module_map *map;
    struct stack_bounds *bounds;
    struct walk_memory *memory;
    const struct cprof_interrupted *thread;
    const struct cprof_runtime *runtime;
    const struct cprof_sleeper *sleeper; /* who sleeps, and whose frames of the runtime */
    walk_step_asleep *step_asleep;       /* are left by this; NULL: there are none */
    walk_leave *leave;                   /* walk.c's, for those that walk on in trial */
    const struct module *module;         /* of the frame before: most frames stay in it */
    const struct module *sure[SURE];     /* that were seen to be there still */
    size_t sure_count;
    struct cursor at;
    uintptr_t cfa;       /* of the frame that was just left */
    enum walk_end end;   /* why it could not be left */
    bool missed, beyond; /* see struct walk_result */
    bool trial;          /* to see where it leads: not for a frame that is kept */
    bool lost;           /* a register that a caller may need could not be recovered */
    bool searched;       /* in vain: that is not done again */
    bool learnt;         /* a frame was left as it was before, without a trial */
    bool unlearnt;       /* which is not to be done */
    bool untabled;       /* a trial has come to a file's code that has no unwind information */
};

static inline bool leave_stop(struct walk *walk, enum walk_end end)
{
    walk->end = end;
    return false;
}

static inline struct cursor leave_cursor(const void *ucontext)
{
    return (struct cursor){
        .pc = arch_pc(ucontext),
        .sp = arch_register(ucontext, ARCH_DWARF_SP),
        .fp = arch_register(ucontext, ARCH_DWARF_FP),
        .base = arch_register(ucontext, ARCH_DWARF_BASE),
        .live = ucontext,
    };
}

/* A frame lies above its callee's; only the interrupted function may not have one yet, or no
 * longer. */
static inline bool leave_ascends(const struct walk *walk, uintptr_t cfa)
{
    const struct cursor *at = &walk->at;
    return (at->live ? cfa >= at->sp : cfa > at->sp) && cfa <= walk->bounds->reach &&
           cfa % WORD == 0;
}

/* Field by field: a struct put together and copied costs more than all else here. */
static inline bool leave_to(struct walk *walk, uintptr_t pc, uintptr_t sp, uintptr_t fp,
                            uintptr_t base)
{
    walk->at.pc = arch_strip(pc);
    walk->at.sp = sp;
    walk->at.fp = fp;
    walk->at.base = base;
    walk->at.live = NULL;
    walk->cfa = sp;
    return true;
}

#endif
