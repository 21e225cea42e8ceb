/*
 * Which code is mapped where: an immutable, sorted snapshot of the process's modules with
 * their compiled unwind tables, that signal handlers read without locks.
 *
 * The collector calls modules_refresh(); when dl_iterate_phdr reports additions or removals
 * it builds a new snapshot and publishes it. A handler brackets its reading with
 * modules_enter()/modules_leave() on its thread's own reader slot; an old snapshot is freed
 * only after every reader that might hold it has left (checked at later refreshes, never
 * waited for). Modules that stay are shared between snapshots, with their tables.
 *
 * Code that the loader does not know of (compiled at run time, loaded with dlmopen) is looked
 * for in /proc/self/maps after somebody reported a miss, at most once a second and, where
 * that is slow, for a thousandth of the time. Such modules have no table; compiled code is
 * walked by frame pointer, a file's is not walked through. What the loader denies to know is
 * compiled code, and is walked so before it was looked for.
 *
 * A refresh only finds out where modules and their unwind information are, which is quick:
 * a walk through code without a table looks its frames up where the loader mapped them
 * (mapped.h), and marks that part of the module, a KiB of code, as met. The pivots for that are
 * read by the next refresh: after that of start() comes the collector's at once. Parts that
 * were met are compiled by modules_compile(), a slice at a time; from then on walks use their
 * tables. So start() waits for nothing, code that no stack goes through costs nothing, and the
 * first sample is as good as the last. A module whose unwind information has no search table,
 * or is not to be read by system calls, is one part.
 *
 * Unwind information is read with a system call that fails where a load would crash; that of a
 * module in one part is copied while dl_iterate_phdr holds the loader's lock, so that no
 * dlclose can unmap it meanwhile. Nothing is read from files, which may have been replaced
 * since they were mapped. No memory is allocated under the lock: an allocator may take the two
 * locks the other way round.
 *
 * All modules may take half of the budget, so that samples find room in the rest. Parts for
 * which that is not enough, and a module in one part whose table would take more than a quarter
 * of the budget, have no table: their frames are looked up in every sample, where they lie.
 */
#ifndef CPROF_UNWIND_MODULES_H
#define CPROF_UNWIND_MODULES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"
#include "unwind/generated.h"
#include "unwind/mapped.h"

struct unwind_table;     /* unwind/table.h */
struct generated_source; /* unwind/generated_set.h */

/* The tables of a module's parts; NULL: none, or not yet. */
struct unwind_parts {
    size_t count;
    _Atomic(const struct unwind_table *) tables[];
};

/* What walks met without a table. */
struct unwind_met {
    atomic_bool any;          /* something new is marked */
    _Atomic uint64_t parts[]; /* a bit for each */
};

struct module {
    uintptr_t start, limit; /* the executable segment(s): [start, limit) */
    uintptr_t bias;         /* runtime address - address in the file's program headers */
    uintptr_t shift;        /* bias - that of the loader's own mapping of the same file: not 0
                               for a part of it that is mapped once more */
    uint64_t file_offset;   /* of `start` */
    char *path;             /* as mapped; "[vdso]"; "" for anonymous code */
    uint64_t serial;        /* unique for the life of the process: never reused */
    _Atomic(const struct unwind_parts *) parts; /* NULL: none yet; stays for good */
    unsigned part_shift;                        /* log2 of a part's bytes */
    struct unwind_met *met;
    struct mapped_unwind mapped; /* what to use instead of a table */
    bool transient; /* may be unloaded; is told from another by where its unwind information is
                     */
    bool guess;     /* where neither has a rule, code may keep a frame pointer: not if there is
                       unwind information that we cannot read */
    bool search; /* musl's library, nearly all of which has no unwind information: its callers
                    are searched for */
    uintptr_t signal_return; /* the code that returns from signal handlers, where it has no
                                unwind information (musl, the vDSO of AArch64); 0 = none */
};

/* glibc's _dl_find_object(), which is signal-safe, takes no lock and some 5 ns. */
struct dl_find_object;
typedef int loader_find(void *address, struct dl_find_object *found);

/* One snapshot: modules sorted by start, not overlapping. */
struct module_map {
    size_t count;
    uint64_t serial;   /* never reused; 0: the empty one */
    loader_find *find; /* NULL: this C library has none */
    bool doubtful; /* modules have been unloaded in this process: one may have gone, and another
                      come in its place, since */
    const uintptr_t *starts; /* of the modules: what a search looks at */
    const struct module *const *modules;
    const struct generated_set *generated; /* tables of code that was made at run time; NULL */
    struct generated_met *met;             /* where walks want them; NULL: nowhere */
};

struct modules;

/* A handler's mark that it is reading. One per sampled thread, zero-initialised, in memory
 * that outlives the modules object or is detached first. */
struct modules_reader {
    _Atomic(const struct module_map *) holds;
};

struct modules *modules_new(struct budget *budget); /* empty until the first refresh */
void modules_free(struct modules *modules);         /* no handler may be running any more */

/* [collector] Returns 1 when a new snapshot was published, 0 when nothing changed, or a
 * negative errno (the old snapshot stays). `readers` enumerates the reader slots: called
 * with an index from 0 until it returns NULL. */
int modules_refresh(struct modules *modules,
                    struct modules_reader *(*readers)(void *closure, size_t index),
                    void *closure);

/* [handler] */
const struct module_map *modules_enter(struct modules *modules, struct modules_reader *reader);
void modules_leave(struct modules_reader *reader);

/* [handler, collector] Binary search; NULL when no module covers the address. */
static inline const struct module *module_find(const struct module_map *map, uintptr_t address)
{
    size_t base = 0;
    size_t count = map->count;
    while (count > 1) {
        size_t half = count / 2;
        base = map->starts[base + half] <= address ? base + half : base;
        count -= half;
    }
    if (count == 0)
        return NULL;
    const struct module *module = map->modules[base];
    return address - module->start < module->limit - module->start ? module : NULL;
}

/* [any thread] A walk met a pc that no module covers: the next refreshes look for code that
 * the loader does not know of. */
void modules_miss(struct modules *modules);

/* [collector] Compiles, for some milliseconds, tables for the code of a module that walks have
 * met. True when there is more to do. */
bool modules_compile(struct modules *modules);

/* [handler] Whether there is a table for any of its code. */
static inline bool module_compiled(const struct module *module)
{
    return atomic_load_explicit(&module->parts, memory_order_relaxed) != NULL;
}

static inline size_t module_part(const struct module *module, uintptr_t pc)
{
    return (pc - module->start) >> module->part_shift;
}

/* [handler] The table for one of its addresses, or NULL. */
static inline const struct unwind_table *module_table(const struct module *module, uintptr_t pc)
{
    const struct unwind_parts *parts =
        atomic_load_explicit(&module->parts, memory_order_acquire);
    if (!parts)
        return NULL;
    return atomic_load_explicit(&parts->tables[module_part(module, pc)], memory_order_acquire);
}

/* [handler] A walk found no table there. */
static inline void module_meet(const struct module *module, uintptr_t pc)
{
    size_t part = module_part(module, pc);
    _Atomic uint64_t *word = &module->met->parts[part / 64];
    uint64_t bit = UINT64_C(1) << part % 64;
    if (atomic_load_explicit(word, memory_order_relaxed) & bit)
        return;
    atomic_fetch_or_explicit(word, bit, memory_order_relaxed);
    atomic_store_explicit(&module->met->any, true, memory_order_release);
}

/* [collector] Where walks met code that was made at run time, and has no table, since this was
 * asked last: how many. */
size_t modules_generated_met(struct modules *modules, uintptr_t pcs[GENERATED_MET]);

/* [collector] What is known of the code around a pc (generated_set.h) is going to be its table.
 * At most GENERATED_MET before the next snapshot. */
void modules_generated_add(struct modules *modules, const struct generated_source *source);

/* [collector] Publishes a snapshot with these tables, or forgets them. True: there is a new
 * one. */
bool modules_generated_publish(struct modules *modules, bool forget);

/* [collector] The current snapshot; valid until the next refresh. */
const struct module_map *modules_current(const struct modules *modules);

/* [collector] How many modules of the current snapshot were met, but can't have all tables that
 * this asks for: their unwind information is broken, or the budget does not allow it. */
size_t modules_without_table(const struct modules *modules);

#endif
