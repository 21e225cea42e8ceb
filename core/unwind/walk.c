/* Handler code: runs inside the sampling signal. No allocation, locks, stdio or errno. */
#include "unwind/walk.h"

#include <dlfcn.h>
#include <errno.h>
#include <sys/auxv.h>

#include "cprof/readable.h"
#include "unwind/arch.h"
#include "unwind/straight.h"
#include "unwind/table.h"

enum {
    WORD = sizeof(uintptr_t),
    SURE = 4, /* modules that a walk goes through, and remembers */
    /* Looking for a caller: how many words, how many of them that point into code are tried,
     * and how many frames each must lead to. */
    LOOKED_AT = 512,
    FRAME_BYTES = 32 << 10, /* that a frame may have: uv__io_poll() has 12 KiB of events */
    TRIES = 24,
    CONFIRMED = 256,
    CONFIRMED_AT_LEAST = 2,
    STEPS = 1024, /* frames that all tries together may walk */
    PUSHED = 6,   /* words: the registers that a function must keep for its caller */
    /* The same of a file's code, whose frames may hold buffers. */
    LOOKED_AT_OF_FILE = 2048,
    TRIES_OF_FILE = 64,
    ARGUMENTS = 4096, /* of a program, that are looked at to know where its stack begins, */
    AUXILIARY = 64,   /* and pairs of what else the kernel tells it */
    BEGINNING = 32,   /* words up to there from what calls a first function */
};

/* What a register holds that could not be recovered: no valid address, as it is unaligned. */
static const uintptr_t UNKNOWN = 1;

static const uintptr_t PAGE = 4096; /* or a part of one, where pages are larger */

/* A thread's own stack is probed to its end, once, if that is no farther than this. A deeper
 * one is treated like any other: probed as far as the walk goes, in every sample. */
static const uintptr_t OWN_STACK_MAX = 1UL << 20;
static const uintptr_t FOREIGN_STACK_MAX = 8UL << 20;

/* ---- bounds ---- */

/* Extends `from` page by page to `to`, as far as memory is readable. */
static uintptr_t readable_until(uintptr_t from, uintptr_t to)
{
    while (from < to && cprof_is_readable(from))
        from += PAGE;
    return from < to ? from : to;
}

/* Where the calling thread's own stack ends, if sp is on it. A thread's control block lies
 * at the top of its stack (glibc, musl); the main thread's does not, but the kernel puts
 * the name of the program there. */
static uintptr_t own_stack_end(uintptr_t sp)
{
    long pid = cprof_syscall(SYS_getpid, 0, 0, 0, 0, 0, 0);
    bool main_thread = cprof_syscall(SYS_gettid, 0, 0, 0, 0, 0, 0) == pid;
    uintptr_t end = main_thread ? (uintptr_t)getauxval(AT_EXECFN) : arch_thread_pointer();
    end &= ~(uintptr_t)(WORD - 1);
    return sp < end && end - sp <= OWN_STACK_MAX ? end : 0;
}

bool walk_bounds(struct stack_bounds *bounds, uintptr_t sp)
{
    uintptr_t low = sp - ARCH_RED_ZONE;
    if (low >= bounds->low && sp < bounds->high && bounds->high == bounds->reach)
        return true;
    low &= ~(PAGE - 1);
    uintptr_t end = own_stack_end(sp);
    if (end != 0) {
        bool grown = bounds->high == end && bounds->reach == end && low < bounds->low;
        uintptr_t unseen = grown ? bounds->low : end;
        if (readable_until(low, unseen) == unseen) {
            *bounds = (struct stack_bounds){.low = low, .high = end, .reach = end};
            return true;
        }
    }
    uintptr_t high = (sp & ~(PAGE - 1)) + PAGE;
    if (sp > UINTPTR_MAX - FOREIGN_STACK_MAX || readable_until(low, high) != high) {
        *bounds = (struct stack_bounds){.low = 0};
        return false;
    }
    *bounds =
        (struct stack_bounds){.low = low, .high = high, .reach = high + FOREIGN_STACK_MAX};
    return true;
}

/* Looks for readable memory up to the end of [address, address + size). */
static bool extend(struct stack_bounds *bounds, uintptr_t address, uintptr_t size)
{
    if (bounds->reach < size || address > bounds->reach - size)
        return false;
    if (bounds->copied)
        return copied_piece(bounds->copied, address, size) != NULL;
    uintptr_t wanted = (address + size + PAGE - 1) & ~(PAGE - 1);
    bounds->high =
        readable_until(bounds->high, wanted < bounds->reach ? wanted : bounds->reach);
    return address + size <= bounds->high;
}

/* Is all of [address, address + size) stack memory that can be read? */
static inline bool in_bounds(struct stack_bounds *bounds, uintptr_t address, uintptr_t size)
{
    if (address < bounds->low || address % WORD != 0)
        return false;
    bool seen = address < bounds->high && size <= bounds->high - address;
    return seen || extend(bounds, address, size);
}

/* A word that has not been seen yet. */
READS_STACK static bool load_unseen(struct stack_bounds *bounds, uintptr_t address,
                                    uintptr_t *value)
{
    if (bounds->copied)
        return address <= bounds->reach - WORD &&
               copied_read(bounds->copied, address, value, WORD);
    if (!extend(bounds, address, WORD))
        return false;
    *value = *(const uintptr_t *)address;
    return true;
}

READS_STACK static inline bool load(struct stack_bounds *bounds, uintptr_t address,
                                    uintptr_t *value)
{
    if (address < bounds->low || address % WORD != 0)
        return false;
    if (address >= bounds->high || WORD > bounds->high - address)
        return load_unseen(bounds, address, value);
    *value = *(const uintptr_t *)address;
    return true;
}

/* Bytes of the stack, where they lie or where they are copied to. NULL: they can't be read. */
static const void *look_at(struct stack_bounds *bounds, uintptr_t address, uintptr_t size)
{
    if (!in_bounds(bounds, address, size))
        return NULL;
    return bounds->copied ? copied_piece(bounds->copied, address, size) : (const void *)address;
}

/* Those of another thread's stack. */
static struct stack_bounds bounds_of_copied(struct copied *copied, uintptr_t sp)
{
    uintptr_t reach = sp < UINTPTR_MAX - FOREIGN_STACK_MAX ? sp + FOREIGN_STACK_MAX : sp;
    return (struct stack_bounds){.low = sp - ARCH_RED_ZONE, .reach = reach, .copied = copied};
}

/* Makes the bounds fit another stack of the same thread. */
static bool change_stack(struct stack_bounds *bounds, uintptr_t sp)
{
    if (!bounds->copied)
        return walk_bounds(bounds, sp);
    *bounds = bounds_of_copied(bounds->copied, sp);
    return true;
}

/* ---- one frame ---- */

struct cursor {
    uintptr_t pc, sp, fp, base;
    const void *live; /* the ucontext that holds all registers of this frame; NULL in callers,
                         of which only the above are known, and pc is a return address */
};

struct walk {
    const struct module_map *map;
    struct stack_bounds *bounds;
    struct walk_memory *memory;
    const struct cprof_interrupted *thread;
    const struct cprof_runtime *runtime;
    const struct cprof_sleeper *sleeper; /* who sleeps, and whose frames of the runtime */
    walk_step_asleep *step_asleep;       /* are left by this; NULL: there are none */
    const struct module *module;         /* of the frame before: most frames stay in it */
    const struct module *sure[SURE];     /* that were seen to be there still */
    size_t sure_count;
    struct cursor at;
    uintptr_t cfa;       /* of the frame that was just left */
    enum walk_end end;   /* why it could not be left */
    bool missed, beyond; /* see struct walk_result */
    bool trial;          /* to see where it leads: not for a frame that is kept */
    bool lost;           /* a register that a caller may need could not be recovered */
    bool untabled;       /* a trial has come to a file's code that has no unwind information */
};

static bool stop(struct walk *walk, enum walk_end end)
{
    walk->end = end;
    return false;
}

/* The unwind information says where the caller is, but not to us. */
static bool stop_beyond(struct walk *walk)
{
    walk->beyond = true;
    return stop(walk, WALK_NO_RULE);
}

static struct cursor cursor_of(const void *ucontext)
{
    return (struct cursor){
        .pc = arch_pc(ucontext),
        .sp = arch_register(ucontext, ARCH_DWARF_SP),
        .fp = arch_register(ucontext, ARCH_DWARF_FP),
        .base = arch_register(ucontext, ARCH_DWARF_BASE),
        .live = ucontext,
    };
}

/* Where no signal came: of the caller of a hook, no more than these is known. */
static struct cursor cursor_of_caller(const struct cprof_registers *registers)
{
    return (struct cursor){.pc = arch_strip(registers->pc),
                           .sp = registers->sp,
                           .fp = registers->fp,
                           .base = UNKNOWN};
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
        if (!load(walk->bounds, value, &value))
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
           load(walk->bounds, base + (uintptr_t)(intptr_t)saved->offset, value);
}

/* The caller's value of a register that now holds *value. */
static inline bool recover(struct walk *walk, const struct saved_register *saved, uintptr_t cfa,
                           uintptr_t *value)
{
    if (saved->kind == SAVED_SAME)
        return true;
    if (saved->kind == SAVED_AT_CFA)
        return load(walk->bounds, cfa + (uintptr_t)(intptr_t)saved->offset, value);
    return recover_elsewhere(walk, saved, value);
}

/* A frame lies above its callee's; only the interrupted function may not have one yet, or no
 * longer. */
static inline bool ascends(const struct walk *walk, uintptr_t cfa)
{
    const struct cursor *at = &walk->at;
    return (at->live ? cfa >= at->sp : cfa > at->sp) && cfa <= walk->bounds->reach &&
           cfa % WORD == 0;
}

/* Leaves a signal trampoline for what the signal interrupted, perhaps on another stack. */
READS_STACK static bool leave_signal(struct walk *walk)
{
    const void *ucontext =
        look_at(walk->bounds, walk->at.sp + ARCH_SIGNAL_UCONTEXT, ARCH_UCONTEXT_REGISTERS);
    if (!ucontext)
        return stop(walk, WALK_BAD_STACK);
    walk->at = cursor_of(ucontext);
    walk->cfa = walk->at.sp;
    bool elsewhere = !in_bounds(walk->bounds, walk->at.sp, WORD);
    if (elsewhere && !change_stack(walk->bounds, walk->at.sp))
        return stop(walk, WALK_BAD_STACK);
    return true;
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

/* Leaves a thread's first function: for no pc at all. */
static bool leave_thread(struct walk *walk, const struct unwind_rule *rule)
{
    uintptr_t cfa;
    if (!find_cfa(walk, rule, &cfa) || !ascends(walk, cfa))
        cfa = walk->at.sp;
    return leave_to(walk, 0, cfa, UNKNOWN, UNKNOWN);
}

static bool look_for_frame(struct walk *walk, const struct unwind_rule *rule);

/* Where the stack does not agree with the rule. Of a thread that sleeps, the frame pointer may
 * just not be known. */
static bool leave_lost_frame(struct walk *walk, const struct unwind_rule *rule)
{
    bool unknown = walk->at.fp == UNKNOWN && rule->cfa_kind == CFA_REGISTER &&
                   rule->cfa_reg == ARCH_DWARF_FP;
    return (unknown && walk->bounds->copied && look_for_frame(walk, rule)) ||
           stop(walk, WALK_BAD_STACK);
}

static bool leave_by_rule(struct walk *walk, const struct unwind_rule *rule)
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
        return stop(walk, WALK_NO_RULE);
    if (rule->ra.kind == SAVED_SAME)
        pc = arch_register(walk->at.live, ARCH_DWARF_RA);
    if (!find_cfa(walk, rule, &cfa))
        return stop_beyond(walk); /* by a register that is not followed */
    uintptr_t sp = cfa;
    if (!recover(walk, &rule->sp, cfa, &sp) || !ascends(walk, sp) ||
        !recover(walk, &rule->ra, cfa, &pc))
        return leave_lost_frame(walk, rule);
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

/* ---- without a rule ---- */

/* The rule at a pc of the module from its table, or from what the table will be made of. */
static bool look_up(const struct walk *walk, const struct module *module, uintptr_t pc,
                    struct unwind_rule *rule)
{
    const struct unwind_table *table = module_table(module, pc);
    if (!table) {
        module_meet(module, pc);
        return mapped_find(&module->mapped, &walk->memory->scratch, pc, rule);
    }
    const struct unwind_rule *found = unwind_table_find(table, pc);
    if (found)
        *rule = *found;
    return found != NULL;
}

/* The rule, or NULL; valid until the next call. What is not there is not remembered: it may be
 * once there is a table. */
static inline const struct unwind_rule *find_rule(const struct walk *walk,
                                                  const struct module *module, uintptr_t pc)
{
    struct cached_rule *cached = rule_cache_slot(&walk->memory->cache, pc);
    uintptr_t key = rule_cache_key(pc, !module->transient);
    if (cached->key != key) {
        cached->key = 0;
        if (!look_up(walk, module, pc, &cached->rule))
            return NULL;
        cached->key = key;
    }
    return &cached->rule;
}

#ifdef DLFO_STRUCT_HAS_EH_DBASE /* glibc since 2.35 */
static bool loader_knows(loader_find *find, const struct module *module, uintptr_t pc)
{
    struct dl_find_object found;
    return find((void *)pc, &found) == 0 &&
           (uintptr_t)found.dlfo_eh_frame == module->mapped.base;
}

/* Is there code of no file that the loader has mapped? False where it can't be asked. */
static bool loader_lacks(loader_find *find, uintptr_t pc)
{
    struct dl_find_object found;
    return find && find((void *)pc, &found) != 0;
}
#else
static bool loader_knows(loader_find *find, const struct module *module, uintptr_t pc)
{
    (void)find, (void)module, (void)pc;
    return false;
}

static bool loader_lacks(loader_find *find, uintptr_t pc)
{
    (void)find, (void)pc;
    return false;
}
#endif

/* Is the module that covers pc still what the snapshot says? Another one may have come in its
 * place. Where the loader can't be asked the memory is, once a walk, if modules go at all. */
static bool is_there(struct walk *walk, const struct module *module, uintptr_t pc)
{
    if (!module->transient)
        return true;
    if (walk->map->find)
        return loader_knows(walk->map->find, module, pc);
    if (!walk->map->doubtful)
        return true;
    for (size_t i = 0; i < SURE && i < walk->sure_count; i++)
        if (walk->sure[i] == module)
            return true;
    if (!mapped_holds(&module->mapped))
        return false;
    walk->sure[walk->sure_count++ % SURE] = module;
    return true;
}

static const struct module *find_module(struct walk *walk, uintptr_t pc)
{
    const struct module *module = walk->module;
    if (!module || pc - module->start >= module->limit - module->start) {
        module = module_find(walk->map, pc);
        walk->module = module && is_there(walk, module, pc) ? module : NULL;
    }
    return walk->module;
}

/* The frame record that a frame pointer points to: the caller's frame pointer and the return
 * address. Believed only if that address is code, or both are zero, as in a first function. */
static bool leave_by_frame_pointer(struct walk *walk)
{
    uintptr_t fp = walk->at.fp;
    uintptr_t caller_fp;
    uintptr_t pc;
    /* ABIs have it cleared for a thread's first function. */
    if (fp == 0 && !walk->at.live)
        return leave_to(walk, 0, walk->at.sp, UNKNOWN, UNKNOWN);
    if (fp < walk->at.sp || !load(walk->bounds, fp, &caller_fp) ||
        !load(walk->bounds, fp + WORD, &pc) || !ascends(walk, fp + 2 * WORD))
        return false;
    bool first = pc == 0 && caller_fp == 0 && !walk->at.live;
    if (!first && !find_module(walk, arch_strip(pc) - 1))
        return stop(walk, WALK_NO_MODULE); /* compiled at run time, perhaps: worth a look */
    return leave_to(walk, pc, fp + 2 * WORD, caller_fp, UNKNOWN);
}

/* A call through a bad pointer has jumped, but executed nothing: the return address is where
 * the call put it. */
static bool leave_failed_call(struct walk *walk)
{
    const struct cursor *at = &walk->at;
    uintptr_t pc;
    if (!at->live)
        return false;
    if (ARCH_LINK_REGISTER)
        pc = arch_register(at->live, ARCH_DWARF_RA);
    else if (!load(walk->bounds, at->sp, &pc))
        return false;
    if (!find_module(walk, arch_strip(pc) - 1))
        return false;
    return leave_to(walk, pc, ARCH_LINK_REGISTER ? at->sp : at->sp + WORD, at->fp, at->base);
}

/* A return address with a function behind it, but none before it, follows no call: somebody
 * laid the function's address on a new stack, as makecontext does. Nothing called it. */
static bool never_called(const struct walk *walk, const struct module *module)
{
    return !walk->at.live && walk->at.pc < module->limit &&
           find_rule(walk, module, walk->at.pc);
}

/* Does the code come from a file? Else it was made at run time, whether the snapshot lists its
 * memory or not. */
static bool is_of_file(const struct module *module)
{
    return module && module->path[0] != '\0';
}

/* ---- looking for the caller ---- */

static bool leave(struct walk *walk, uintptr_t pc);

static bool step_tried(struct walk *trial);

/* Where the function around pc begins; 0: not known. */
static uintptr_t function_start(struct walk *walk, uintptr_t pc)
{
    const struct module *module = find_module(walk, pc);
    return module ? mapped_function(&module->mapped, &walk->memory->scratch, pc) : 0;
}

/* Where a caller is looked for: what its call must be of, if that matters, and what the caller
 * itself must have been called as. */
struct search {
    const struct code_range *callee; /* NULL: any code */
    bool generated;                  /* code that is unknown need not be listed */
    bool called;                     /* the caller's own caller must call that function */
    size_t confirmed;                /* frames that must lead to code that is unknown as well */
    uintptr_t pushed;                /* bytes below the return address with the frame pointer */
    unsigned steps;                  /* left */
};

static const struct search GENERATED_SEARCH = {.generated = true,
                                               .confirmed = CONFIRMED_AT_LEAST,
                                               .pushed = PUSHED * WORD,
                                               .steps = STEPS};

/* Do the frames from there on lead to the thread's first function, or by some to code that is
 * unknown as well? The first of them is in the function that begins at `function`. */
static bool confirm(const struct walk *walk, const struct cursor *caller, uintptr_t function,
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
        bool stepped = step_tried(&trial);
        const struct module *module = stepped ? NULL : find_module(&trial, trial.at.pc - 1);
        if (!stepped && !is_of_file(module))
            return (module || search->generated) && i >= search->confirmed;
        if (!stepped && !leave(&trial, trial.at.pc - 1))
            return trial.untabled && i >= search->confirmed;
        if (i == 0 && function != 0 && !straight_follows_call_to(trial.at.pc, function))
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
    bool confirmed = confirm(walk, &caller, function, search);
    for (uintptr_t at = slot - WORD;
         !confirmed && search->steps > 0 && at >= walk->at.sp && slot - at <= search->pushed;
         at -= WORD)
        confirmed = load(walk->bounds, at, &caller.fp) && caller.fp > slot &&
                    in_bounds(walk->bounds, caller.fp, WORD) &&
                    confirm(walk, &caller, function, search);
    return confirmed && leave_to(walk, pc, sp, caller.fp, UNKNOWN);
}

/* Is the word at `slot` the return address of the code's caller? Then walk->at is that caller.
 * Its stack pointer is where a call has left it; where calls leave nothing on the stack, some
 * words above the place that the return address was put to. */
static bool take_caller(struct walk *walk, uintptr_t slot, uintptr_t pc, struct search *search)
{
    const uintptr_t align = ARCH_LINK_REGISTER ? 2 * WORD : WORD;
    const uintptr_t above = ARCH_LINK_REGISTER ? ARCH_FRAME_ABOVE : WORD;
    uintptr_t function = search->called ? function_start(walk, pc - 1) : 0;
    for (uintptr_t sp = (slot + align) & ~(align - 1); sp <= slot + above; sp += align)
        if (take_frame(walk, slot, pc, sp, function, search))
            return true;
    return false;
}

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
        if (!load(walk->bounds, sp, &pc))
            return false;
        if (pc > PAGE && is_of_file(find_module(walk, pc - 1)) && ++tries <= TRIES &&
            straight_follows_indirect_call(pc) && take_caller(walk, sp, pc, &search))
            return true;
    }
    return false;
}

/* ---- out of a file's code ---- */

/* Where the next word of zero is among a number of them; 0: none. */
static uintptr_t next_zero(const struct walk *walk, uintptr_t at)
{
    uintptr_t word;
    for (size_t i = 0; i < ARGUMENTS && load(walk->bounds, at, &word); i++, at += WORD)
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
    if (!load(walk->bounds, at, &count) || count >= ARGUMENTS ||
        !load(walk->bounds, at + (count + 1) * WORD, &end) || end != 0)
        return false; /* so are nearly all numbers: nothing more is read for these */
    zero = next_zero(walk, at + WORD);
    if (zero != at + (count + 1) * WORD)
        return false;
    zero = next_zero(walk, zero + WORD);
    for (size_t i = 0; zero != 0 && i < AUXILIARY; i++) {
        uintptr_t pair = zero + WORD + i * 2 * WORD;
        if (!load(walk->bounds, pair, &key) || !load(walk->bounds, pair + WORD, &value))
            return false;
        if (key == AT_EXECFN)
            return value == getauxval(AT_EXECFN);
    }
    return false;
}

/* Code of a file without unwind information calls, by a pointer, what a program or a thread
 * begins with: does the stack begin right above it? */
static bool began_here(struct walk *walk)
{
    uintptr_t word, at = walk->at.sp;
    const struct module *module = find_module(walk, walk->at.pc - 1);
    if (walk->at.live || !straight_follows_indirect_call(walk->at.pc))
        return false;
    for (size_t i = 0; i < BEGINNING && load(walk->bounds, at, &word); i++, at += WORD) {
        bool last =
            word > PAGE && find_module(walk, word - 1) == module && straight_exits(word);
        if (last || (word != 0 && word <= PAGE && is_of_arguments(walk, at)))
            return true;
    }
    return false;
}

/* May code that the runtime knows, or a file's with unwind information, have made the call? */
static bool may_call(struct walk *walk, const struct module *callee, uintptr_t pc)
{
    const struct module *module = find_module(walk, pc - 1);
    return module != callee &&
           (is_of_file(module) || walk->step_asleep || (walk->runtime && walk->runtime->step));
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
        if (!load(walk->bounds, slot, &pc))
            return -1;
        if (pc <= PAGE) {
            if (pc != 0 && is_of_arguments(walk, slot))
                return 0;
            continue;
        }
        pc = arch_strip(pc);
        const struct module *module = find_module(walk, pc - 1);
        if (module == callee && straight_exits(pc))
            return 0;
        if (!may_call(walk, callee, pc) || ++tries > TRIES_OF_FILE)
            continue;
        if (straight_follows_call_into(pc, search->callee) &&
            take_caller(walk, slot, pc, search))
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
           take_caller(walk, slot, pc, search);
}

/* Code of a file that has no unwind information, as nearly all of musl's: the next return
 * address on the stack is believed that follows a call of that file, in a function that its own
 * caller has called, if the frames above confirm it; if there is none, one of which only either
 * is true. Functions of the same file between the two are left out. */
static bool look_for_caller_of(struct walk *walk, const struct module *module)
{
    const struct code_range callee = {.start = module->start, .limit = module->limit};
    const struct search searches[] = {{.callee = &callee, .called = true, .confirmed = 1},
                                      {.callee = &callee, .confirmed = CONFIRMED_AT_LEAST},
                                      {.called = true, .confirmed = CONFIRMED_AT_LEAST}};
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
    return walk->at.fp >= walk->at.sp && load(walk->bounds, walk->at.fp + WORD, &pc) &&
           straight_follows_call_into(arch_strip(pc), &callee) &&
           !straight_follows_indirect_call(arch_strip(pc));
}

/* A file's code without unwind information may keep a frame pointer, or be searched for its
 * caller. */
static bool leave_untabled(struct walk *walk, const struct module *module)
{
    if (keeps_frame_pointer(walk, module) && leave_by_frame_pointer(walk))
        return true;
    walk->untabled = walk->trial;
    if (walk->trial)
        return false;
    if (look_for_caller_of(walk, module))
        return true;
    walk->end = WALK_NO_RULE;
    return leave_by_frame_pointer(walk);
}

/* Where calls leave the return address in a register, linkers' stubs and functions that call
 * nothing (as in the vDSO) may have neither unwind information nor a frame: the interrupted one
 * is left by that register if it returns to code that has, behind a call, and the frames from
 * there on confirm it. */
static bool leave_by_link(struct walk *walk)
{
    if (!ARCH_LINK_REGISTER || !walk->at.live)
        return false;
    const struct cursor caller = {.pc = arch_strip(arch_register(walk->at.live, ARCH_DWARF_RA)),
                                  .sp = walk->at.sp,
                                  .fp = walk->at.fp};
    const struct module *module = caller.pc > PAGE ? find_module(walk, caller.pc - 1) : NULL;
    struct search search = GENERATED_SEARCH;
    return is_of_file(module) && find_rule(walk, module, caller.pc - 1) &&
           straight_follows_call_to(caller.pc, 0) && confirm(walk, &caller, 0, &search) &&
           leave_to(walk, caller.pc, caller.sp, caller.fp, walk->at.base);
}

/* ---- looking for a frame ---- */

/* Do the frames lead to the thread's first function? */
static bool goes_on_to_first(struct walk *trial, unsigned *steps)
{
    bool leads = true;
    while (leads && trial->at.pc != 0 && *steps > 0) {
        --*steps;
        leads = step_tried(trial) || leave(trial, trial->at.pc - 1);
    }
    return leads ? trial->at.pc == 0 : trial->untabled && began_here(trial);
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
    return recover(walk, &rule->ra, cfa, &pc) && pc > PAGE &&
           is_of_file(find_module(walk, pc - 1)) && straight_follows_call_to(pc, start) &&
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

static bool leave_by_frame_at(struct walk *walk, const struct unwind_rule *rule, uintptr_t fp)
{
    walk->at.fp = fp;
    return leave_by_rule(walk, rule);
}

/* A function that keeps its frame pointer across the call in which the thread sleeps, of which
 * the kernel tells only the pc and the stack pointer: the next place on the stack is believed
 * that holds a return address of a call of that function, and from which the walk reaches the
 * thread's first function. Less would be wrong now and then: stacks are full of what earlier
 * calls left. A call by a pointer is believed only where no other one is found. How far it was
 * from the stack pointer is mostly the same the next time. */
static bool look_for_frame(struct walk *walk, const struct unwind_rule *rule)
{
    if (walk->trial || rule->ra.kind != SAVED_AT_CFA)
        return false;
    uintptr_t pc = walk->at.live ? walk->at.pc : walk->at.pc - 1;
    uintptr_t start = function_start(walk, pc), sp = walk->at.sp;
    struct learnt_frame *learnt = copied_learnt(walk->bounds->copied, pc);
    unsigned steps = STEPS;
    if (learnt->pc == pc && is_frame(walk, rule, start, sp + learnt->distance, false, &steps))
        return leave_by_frame_at(walk, rule, sp + learnt->distance);
    uintptr_t distance = start != 0 ? find_frame(walk, rule, start, true) : FRAME_BYTES;
    if (distance == FRAME_BYTES)
        distance = find_frame(walk, rule, start, false);
    if (distance == FRAME_BYTES)
        return false;
    *learnt = (struct learnt_frame){.pc = pc, .distance = distance};
    return leave_by_frame_at(walk, rule, sp + distance);
}

/* ---- from one frame to the next ---- */

/* By a rule that was guessed: where it leads to must be a call of the function, made by other
 * code of that kind, or by code of a file as the whole stack above confirms. */
static bool leave_by_guess(struct walk *walk, const struct unwind_rule *rule,
                           const struct generated_function *function)
{
    struct walk trial = *walk;
    struct unwind_rule theirs;
    struct search search = GENERATED_SEARCH;
    if (!leave_by_rule(&trial, rule) || trial.at.pc < PAGE)
        return false;
    const struct cursor caller = trial.at;
    bool file = is_of_file(find_module(&trial, caller.pc - 1));
    if (!file &&
        !generated_find(walk->map->generated, &walk->memory->scratch, caller.pc - 1, &theirs))
        generated_meet(walk->map->met, caller.pc - 1);
    return straight_follows_call_to(caller.pc, function->start) &&
           (!file || confirm(walk, &caller, 0, &search)) && leave_by_rule(walk, rule);
}

/* Code that was made at run time is left by its table; without one it is read, then taken to
 * keep a frame pointer, then the stack is searched. */
static bool leave_generated(struct walk *walk)
{
    struct unwind_rule rule, read;
    uintptr_t pc = walk->at.live ? walk->at.pc : walk->at.pc - 1;
    const struct generated_function *function =
        generated_find(walk->map->generated, &walk->memory->scratch, pc, &rule);
    if (function && !function->guessed)
        return leave_by_rule(walk, &rule);
    if (straight_rule(walk->at.pc, &read))
        return leave_by_rule(walk, &read);
    if (function && leave_by_guess(walk, &rule, function))
        return true;
    if (!function)
        generated_meet(walk->map->met, pc);
    return leave_by_frame_pointer(walk) || (!walk->trial && look_for_caller(walk));
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
    return (loader_lacks(walk->map->find, pc) && leave_generated(walk)) ||
           stop(walk, WALK_NO_MODULE);
}

/* Moves to the caller of the frame at walk->at. False: walk->end says why not. */
static bool leave(struct walk *walk, uintptr_t pc)
{
    const struct cached_rule *cached = rule_cache_slot(&walk->memory->cache, pc);
    if (cached->key == rule_cache_key(pc, true))
        return leave_by_rule(walk, &cached->rule);
    const struct module *module = find_module(walk, pc);
    if (!module)
        return leave_unknown(walk, pc);
    walk->end = WALK_NO_RULE;
    if (!is_of_file(module))
        return leave_generated(walk);
    const struct unwind_rule *rule = find_rule(walk, module, pc);
    if (rule)
        return leave_by_rule(walk, rule);
    if (never_called(walk, module))
        return leave_to(walk, 0, walk->at.sp, UNKNOWN, UNKNOWN);
    if (walk->at.pc == module->signal_return)
        return leave_signal(walk);
    if (leave_by_link(walk))
        return true;
    /* That it has no rule is known where there is a table. */
    return (module->guess || module_table(module, pc)) && leave_untabled(walk, module);
}

/* ---- the walk ---- */

static struct cprof_registers registers_of(const struct walk *walk)
{
    return (struct cprof_registers){.pc = walk->at.pc, .sp = walk->at.sp, .fp = walk->at.fp};
}

static bool leave_to_registers(struct walk *walk, const struct cprof_registers *registers)
{
    if (!ascends(walk, registers->sp))
        return stop(walk, WALK_BAD_STACK);
    return leave_to(walk, registers->pc, registers->sp, registers->fp, UNKNOWN);
}

/* Is the frame the runtime's? Then it writes it to `own`. */
static bool step(struct walk *walk, uintptr_t pc, struct cprof_registers *registers,
                 struct cprof_frame *own)
{
    const struct cprof_runtime *runtime = walk->runtime;
    if (walk->step_asleep)
        return walk->step_asleep(walk->sleeper, registers, own);
    return runtime->step(walk->thread, registers, own) ||
           (runtime->step_unmapped != NULL && !is_of_file(find_module(walk, pc)) &&
            runtime->step_unmapped(walk->thread, registers, own));
}

/* The same in a trial. */
static bool step_tried(struct walk *trial)
{
    struct cprof_registers registers = registers_of(trial);
    struct cprof_frame own;
    if (trial->step_asleep)
        return trial->step_asleep(trial->sleeper, &registers, NULL) &&
               leave_to_registers(trial, &registers);
    return trial->runtime && trial->runtime->step &&
           step(trial, trial->at.pc - 1, &registers, &own) &&
           leave_to_registers(trial, &registers);
}

/* Does that frame pointer lead from a frame of the runtime's to the thread's first function? */
static bool is_runtimes_frame(const struct walk *walk, uintptr_t fp, unsigned *steps)
{
    struct walk trial = *walk;
    trial.trial = true;
    trial.at.fp = fp;
    struct cprof_registers registers = registers_of(&trial);
    return walk->step_asleep(walk->sleeper, &registers, NULL) &&
           leave_to_registers(&trial, &registers) && goes_on_to_first(&trial, steps);
}

static bool has_rule(struct walk *walk, uintptr_t pc)
{
    const struct module *module = find_module(walk, pc);
    return is_of_file(module) && find_rule(walk, module, pc);
}

/* Of a thread that sleeps the frame pointer may not be known where the runtime's frames begin:
 * the first place is believed that leads to the thread's first function. */
static void find_runtimes_frame(struct walk *walk)
{
    unsigned steps = STEPS;
    if (!walk->step_asleep || walk->at.fp != UNKNOWN || has_rule(walk, walk->at.pc - 1))
        return;
    for (uintptr_t i = 0; i < LOOKED_AT && steps > 0; i++)
        if (is_runtimes_frame(walk, walk->at.sp + i * WORD, &steps)) {
            walk->at.fp = walk->at.sp + i * WORD;
            return;
        }
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
    return leave_to_registers(walk, caller);
}

/* One frame: the runtime's, if it says so. */
static bool leave_frame(struct walk *walk, struct native_frame *frame, struct cprof_frame *own,
                        size_t *own_count)
{
    if (!own)
        return leave(walk, frame->pc);
    find_runtimes_frame(walk);
    struct cprof_registers registers = registers_of(walk);
    return step(walk, frame->pc, &registers, own)
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
                        .thread = thread,
                        .runtime = runtime};
    walk.at = thread->ucontext != NULL ? cursor_of(thread->ucontext)
                                       : cursor_of_caller(&thread->registers);
    return walk_all(&walk, room, runtime && runtime->step);
}

struct walk_result walk_asleep(const struct module_map *map,
                               const struct cprof_sleeper *sleeper, walk_step_asleep *step,
                               const struct walk_room *room, struct copied *copied)
{
    const struct cprof_registers *at = &sleeper->registers;
    ucontext_t known;
    arch_fill(&known, UNKNOWN);
    arch_set(&known, at->pc, at->sp);
    struct stack_bounds bounds = bounds_of_copied(copied, at->sp);
    struct walk walk = {.map = map,
                        .bounds = &bounds,
                        .memory = room->memory,
                        .sleeper = sleeper,
                        .step_asleep = step,
                        .at = cursor_of(&known)};
    return walk_all(&walk, room, step != NULL);
}

struct cprof_registers walk_registers(const void *ucontext)
{
    return (struct cprof_registers){
        .pc = arch_pc(ucontext),
        .sp = arch_register(ucontext, ARCH_DWARF_SP),
        .fp = arch_register(ucontext, ARCH_DWARF_FP),
    };
}
