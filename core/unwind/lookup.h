/*
 * Which code a pc of a walk is of: its module, its function, its rule. Inside the walker only.
 * Signal-safe. A module is the snapshot's, if it is still there; most frames stay in that of
 * the frame before. A rule comes from the thread's cache, else from the module's table, else
 * from its mapped unwind information.
 */
#ifndef CPROF_UNWIND_LOOKUP_H
#define CPROF_UNWIND_LOOKUP_H

#include "unwind/rule_cache.h"
#include "unwind/walk_inside.h"

/* The module that covers pc; NULL: none, or not any more. */
const struct module *lookup_module(struct walk *walk, uintptr_t pc);

/* Does the code come from a file? Else it was made at run time, whether the snapshot lists its
 * memory or not. */
static inline bool lookup_is_of_file(const struct module *module)
{
    return module && module->path[0] != '\0';
}

/* The rule at a pc of the module from its table, or from what the table will be made of. */
bool lookup_uncached(const struct walk *walk, const struct module *module, uintptr_t pc,
                     struct unwind_rule *rule);

/* The rule, or NULL; valid until the next call. What is not there is not remembered: it may be
 * once there is a table. */
static inline const struct unwind_rule *lookup_rule(const struct walk *walk,
                                                    const struct module *module, uintptr_t pc)
{
    struct cached_rule *cached = rule_cache_slot(&walk->memory->cache, pc);
    uintptr_t key = rule_cache_key(pc, !module->transient);
    if (cached->key != key) {
        cached->key = 0;
        if (!lookup_uncached(walk, module, pc, &cached->rule))
            return NULL;
        cached->key = key;
    }
    return &cached->rule;
}

/* Where the function around pc begins; 0: not known. */
uintptr_t lookup_function(struct walk *walk, uintptr_t pc);

/* Is there code of no file that the loader has mapped? False where it can't be asked. */
bool lookup_loader_lacks(loader_find *find, uintptr_t pc);

#endif
