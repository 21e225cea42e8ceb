/*
 * From what a handler saw to locations: program counters through the symbolizer, interpreter
 * frames through the runtime's resolve(), each asked once.
 *
 * What is known lies in a dictionary, a profile of its own without samples, which outlives
 * the profiles of the intervals: those take over the locations they need (gather.h). Belongs
 * to the collector's thread. When the dictionary has outgrown its share of the budget,
 * naming_restart() begins it afresh between two intervals; one that had no room for a name,
 * once there is room for another of its size. Until then what has no room is named
 * "[overflow]", and what is known keeps its name.
 */
#ifndef CPROF_COLLECT_NAMING_H
#define CPROF_COLLECT_NAMING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/budget.h"
#include "cprof/runtime.h"
#include "profile/profile.h"
#include "unwind/modules.h"

struct name {
    profile_id location; /* in the dictionary; never 0 */
    uintptr_t native;    /* where the native function begins that it is, or that implements it;
                            0 = none, or the runtime does not know */
    uint8_t role;        /* enum cprof_role; of native frames */
    bool failed;         /* nobody knows its name */
    bool later;          /* as failed, but the runtime may know it later: ask again */
    bool passing;        /* so, or for another reason not kept: may be another the next time */
};

struct naming;

/* `runtime` may be NULL. NULL: out of memory. */
struct naming *naming_new(struct budget *budget, const struct cprof_runtime *runtime);
void naming_free(struct naming *naming);

/* The dictionary; another one after naming_restart(). */
const struct profile *naming_dictionary(const struct naming *naming);

struct name naming_native(struct naming *naming, const struct module_map *map, uintptr_t pc);
struct name naming_frame(struct naming *naming, const struct cprof_frame *frame);

/* The frame that the runtime shows its own work by (runtime.h); false: it has none. */
bool naming_chore(struct naming *naming, struct name *name);
profile_id naming_truncated(const struct naming *naming); /* the location "[truncated]" */

profile_id
naming_nothing(const struct naming *naming); /* "[native]": for a stack without frames */

profile_id naming_unseen(const struct naming *naming);  /* "[not sampled]" */
profile_id naming_blocked(const struct naming *naming); /* "[signals blocked]" */

/* Changes when anything that is kept may have another name than before, or location. */
uint64_t naming_version(const struct naming *naming);

/* The module snapshot is a new one: what was known of code that has gone is forgotten. */
void naming_modules_changed(struct naming *naming, const struct module_map *map);

/* Code that was made at run time is unwound from now on as its compiler has said to debuggers,
 * where walks want to know it. True: there is a new snapshot. */
bool naming_unwind(struct naming *naming, struct modules *modules);

/* The drain is over: closes what is costly to keep open. */
void naming_rest(struct naming *naming);

/* Between two intervals: starts afresh if that is due. True when it did. */
bool naming_restart(struct naming *naming);

#endif
