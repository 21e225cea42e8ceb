/*
 * From what a handler saw to locations: program counters through the symbolizer, interpreter
 * frames through the runtime's resolve(), each asked once.
 *
 * What is known lies in a dictionary, a profile of its own without samples, which outlives
 * the profiles of the intervals: those take over the locations they need (gather.h). Belongs
 * to the collector's thread. When the dictionary has outgrown its share of the budget, or had
 * no room for a name, names_restart() begins it afresh between two intervals; until then
 * what has no room is named "[overflow]".
 */
#ifndef CPROF_ENGINE_NAMES_H
#define CPROF_ENGINE_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/budget.h"
#include "cprof/runtime.h"
#include "profile/profile.h"
#include "unwind/modules.h"

struct name {
    profile_id location; /* in the dictionary; never 0 */
    uint8_t role;        /* enum cprof_role; of native frames */
    bool failed;         /* nobody knows its name */
};

struct names;

/* `runtime` may be NULL. NULL: out of memory. */
struct names *names_new(struct budget *budget, const struct cprof_runtime *runtime);
void names_free(struct names *names);

/* The dictionary; another one after names_restart(). */
const struct profile *names_dictionary(const struct names *names);

struct name names_native(struct names *names, const struct module_map *map, uintptr_t pc);
struct name names_frame(struct names *names, const struct cprof_frame *frame);
profile_id names_truncated(const struct names *names); /* the location "[truncated]" */

profile_id
names_nothing(const struct names *names); /* "[native]": for a stack without frames */

/* The module snapshot is a new one: what was known of code that has gone is forgotten. */
void names_modules_changed(struct names *names, const struct module_map *map);

/* The drain is over: closes what is costly to keep open. */
void names_rest(struct names *names);

/* Between two intervals: starts afresh if that is due. True when it did. */
bool names_restart(struct names *names);

#endif
