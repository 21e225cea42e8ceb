/*
 * Which code is mapped where: an immutable, sorted snapshot of the process's modules with
 * their compiled unwind tables, that signal handlers read without locks.
 *
 * The collector calls modules_refresh(); when dl_iterate_phdr reports additions or removals
 * (or executable mappings without a file changed) it builds a new snapshot and publishes it.
 * A handler brackets its reading with modules_enter()/modules_leave() on its thread's own
 * reader slot; an old snapshot is freed only after every reader that might hold it has left
 * (checked at later refreshes, never waited for). Tables of unchanged modules are shared
 * between snapshots.
 *
 * Modules whose tables would not fit the budget have none: their frames are walked by frame
 * pointer where that holds, or end the stack (counted by the caller as truncated).
 */
#ifndef CPROF_UNWIND_MODULES_H
#define CPROF_UNWIND_MODULES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"

struct unwind_table; /* unwind/table.h */

struct module {
    uintptr_t start, limit;   /* the executable segment(s): [start, limit) */
    uintptr_t bias;           /* runtime address - address in the file's program headers */
    uint64_t file_offset;     /* of `start` */
    char *path;               /* as mapped; "[vdso]"; "" for anonymous code */
    uint64_t serial;          /* unique for the life of the process: never reused */
    const struct unwind_table *table; /* NULL: none */
};

/* One snapshot: modules sorted by start, not overlapping. */
struct module_map {
    size_t count;
    const struct module *const *modules;
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
const struct module *module_find(const struct module_map *map, uintptr_t address);

/* [collector] The current snapshot; valid until the next refresh. */
const struct module_map *modules_current(const struct modules *modules);

#endif
