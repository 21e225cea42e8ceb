/* Handler code: runs inside the sampling signal. No allocation, locks, stdio or errno. */
#include "unwind/walk.h"

#include "unwind/arch.h"
#include "unwind/leave.h"
#include "unwind/lookup.h"
#include "unwind/search_file.h"
#include "unwind/search_frame.h"
#include "unwind/search_generated.h"
#include "unwind/stepped.h"

/* Where no signal came: of the caller of a hook, no more than these is known. */
static struct cursor cursor_of_caller(const struct cprof_registers *registers)
{
    return (struct cursor){.pc = arch_strip(registers->pc),
                           .sp = registers->sp,
                           .fp = registers->fp,
                           .base = UNKNOWN};
}

/* A return address with a function behind it, but none before it, follows no call: somebody
 * laid the function's address on a new stack, as makecontext does. Nothing called it. */
static bool never_called(const struct walk *walk, const struct module *module)
{
    return !walk->at.live && walk->at.pc < module->limit &&
           lookup_rule(walk, module, walk->at.pc);
}

/* Code that no module covers. What the loader does not know either was made at run time since
 * the snapshot, as a JIT does all the time, and need not wait for the next one. Of a file that
 * has just been loaded, the next one knows whether it keeps a frame pointer: a guess would
 * leave its callers out unseen. */
static bool leave_unknown(struct walk *walk, uintptr_t pc)
{
    if (pc < PAGE && leave_failed_call(walk))
        return true;
    walk->missed = true;
    return (lookup_loader_lacks(walk->map->find, pc) && search_generated(walk)) ||
           leave_stop(walk, WALK_NO_MODULE);
}

/* See walk_leave: each way in turn, the surest first. */
static bool leave(struct walk *walk, uintptr_t pc)
{
    const struct cached_rule *cached = rule_cache_slot(&walk->memory->cache, pc);
    if (cached->key == rule_cache_key(pc, true))
        return search_leave_by_rule(walk, &cached->rule);
    const struct module *module = lookup_module(walk, pc);
    if (!module)
        return leave_unknown(walk, pc);
    walk->end = WALK_NO_RULE;
    if (!lookup_is_of_file(module))
        return search_generated(walk);
    const struct unwind_rule *rule = lookup_rule(walk, module, pc);
    if (rule)
        return search_leave_by_rule(walk, rule);
    if (never_called(walk, module))
        return leave_to(walk, 0, walk->at.sp, UNKNOWN, UNKNOWN);
    if (walk->at.pc == module->signal_return)
        return leave_signal(walk);
    if (search_by_link(walk))
        return true;
    /* That it has no rule is known where there is a table. */
    return (module->guess || module_table(module, pc)) && search_untabled(walk, module);
}

/* The frame is the runtime's, in `own`, and its caller has these registers. */
static bool leave_stepped(struct walk *walk, const struct cprof_registers *caller,
                          struct native_frame *frame, struct cprof_frame *own,
                          size_t *own_count)
{
    if (own->token == 0 && own->position != 0)
        frame->pc = own->position; /* the same code, where it has a name */
    own->stack = walk->at.sp;
    *own_count += own->token != 0; /* zero: stepped over, but no frame */
    return stepped_leave(walk, caller);
}

/* One frame: the runtime's, if it says so. */
static bool leave_frame(struct walk *walk, struct native_frame *frame, struct cprof_frame *own,
                        size_t *own_count)
{
    if (!own)
        return leave(walk, frame->pc);
    if (walk->step_asleep)
        search_runtimes_frame(walk);
    struct cprof_registers registers = stepped_registers(walk);
    return stepped_frame(walk, frame->pc, &registers, own)
               ? leave_stepped(walk, &registers, frame, own, own_count)
               : leave(walk, frame->pc);
}

static struct walk_result walk_all(struct walk *walk, const struct walk_room *room, bool steps)
{
    struct walk_result result = {.end = WALK_FULL};
    rule_cache_begin(&room->memory->cache, walk->map->serial);
    while (result.native_count < room->native_capacity &&
           (!steps || result.stepped_count < room->stepped_capacity)) {
        struct native_frame *frame = &room->native[result.native_count++];
        struct cprof_frame *own = steps ? &room->stepped[result.stepped_count] : NULL;
        frame->pc = walk->at.live ? walk->at.pc : walk->at.pc - 1;
        frame->cfa = walk->at.sp;
        if (!leave_frame(walk, frame, own, &result.stepped_count)) {
            result.end = walk->end;
            break;
        }
        frame->cfa = walk->cfa;
        if (walk->at.pc == 0) {
            result.end = WALK_COMPLETE;
            break;
        }
    }
    result.missed = walk->missed;
    result.beyond = walk->beyond || (walk->lost && result.end == WALK_BAD_STACK);
    return result;
}

struct walk_result walk_frames(const struct module_map *map,
                               const struct cprof_interrupted *thread,
                               const struct cprof_runtime *runtime,
                               const struct walk_room *room)
{
    struct walk walk = {.map = map,
                        .bounds = room->bounds,
                        .memory = room->memory,
                        .leave = leave,
                        .thread = thread,
                        .runtime = runtime};
    walk.at = thread->ucontext != NULL ? leave_cursor(thread->ucontext)
                                       : cursor_of_caller(&thread->registers);
    return walk_all(&walk, room, runtime && runtime->step);
}

/* Where a frame was left as it was before, and that does not lead to the thread's first
 * function, all is walked again, with trials. */
static struct walk_result walk_learnt(const struct walk *walk, const struct walk_room *room)
{
    struct walk first = *walk;
    const bool steps = walk->step_asleep != NULL;
    struct walk_result result = walk_all(&first, room, steps);
    if (!first.learnt || result.end == WALK_COMPLETE)
        return result;
    struct walk again = *walk;
    struct stack_bounds bounds = stack_of_copied(walk->bounds->copied, walk->at.sp);
    again.bounds = &bounds;
    again.unlearnt = true;
    return walk_all(&again, room, steps);
}

struct walk_result walk_asleep(const struct module_map *map,
                               const struct cprof_sleeper *sleeper, walk_step_asleep *step,
                               const struct walk_room *room, struct copied *copied)
{
    const struct cprof_registers *at = &sleeper->registers;
    ucontext_t known;
    arch_fill(&known, UNKNOWN);
    arch_set(&known, at->pc, at->sp);
    struct stack_bounds bounds = stack_of_copied(copied, at->sp);
    const struct walk walk = {.map = map,
                              .bounds = &bounds,
                              .memory = room->memory,
                              .leave = leave,
                              .sleeper = sleeper,
                              .step_asleep = step,
                              .at = leave_cursor(&known)};
    return walk_learnt(&walk, room);
}

struct cprof_registers walk_registers(const void *ucontext)
{
    return (struct cprof_registers){
        .pc = arch_pc(ucontext),
        .sp = arch_register(ucontext, ARCH_DWARF_SP),
        .fp = arch_register(ucontext, ARCH_DWARF_FP),
    };
}
