/*
 * Profiles of blocks: what the collector gathers between two moments, as a file of its own
 * beside all that the engine exports. At most CAPTURES at a time; together they hold at most
 * a quarter of the memory limit, and new stacks beyond that count as "[overflow]". A sixteenth
 * is kept for them, and for the intervals that they cut off, whatever fills the rest.
 *
 * Blocks that name the same file (without %n) at the same time share one capture, from the
 * beginning of the first to the end of the last: none writes over another's profile.
 *
 * A forked child has the captures that were going on, begins them anew, and writes beside its
 * parent's file. captures_begin() and captures_end() are called with the engine's lifecycle
 * lock held; the others say when.
 */
#ifndef CPROF_ENGINE_CAPTURE_H
#define CPROF_ENGINE_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"
#include "collect/collector.h"

#define CAPTURES CPROF_CAPTURES

/* The engine is being built: what they may draw from, and who names files (%s; copied). */
int captures_open(struct budget *budget, const char *service);

/* What they draw from, for as long as the process lives. */
struct budget *captures_budget(void);

/* A capture into `pattern`. 0; -EINVAL for a file that can't be written; -EBUSY when all are
 * taken; -ENOMEM; -ETIMEDOUT when the collector does not answer. With a line in `error`. */
int captures_begin(struct collector *collector, const char *pattern, uint64_t *id, char *error,
                   size_t error_size);

/* 0 when the file is written or others share the capture still; -EALREADY when it has ended;
 * else a negative errno with a line in `error`. */
int captures_end(struct collector *collector, uint64_t id, char *error, size_t error_size);

/* The collector has ended: writes the file of each that is left and has begun. */
void captures_finish(void);

/* [collector] The process is about to die: writes what there is. */
void captures_rescue(void);

/* Around fork, right at it. `at_rest`: the parent's collector was, and has been freed. The
 * child's captures are empty until captures_retap(), in an engine of its own. */
void captures_fork_lock(void);
void captures_fork_unlock(void);
void captures_fork_child(bool at_rest);
void captures_retap(struct collector *collector);

#endif
