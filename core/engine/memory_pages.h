/*
 * The pages /debug/pprof/heap and /debug/pprof/allocs, as Go has them: one profile of what has
 * been allocated since counting began and of what lives now, of which each page shows another
 * column first. Over a time both are what the time has changed; a heap that shrinks is
 * negative. And /debug/pprof/mutex (or block): what threads have waited for locks since then.
 *
 * What was allocated or waited adds up interval by interval, by stack and labels; spans, and
 * numbers of threads and locks, of which there is no end, are left out. Each sum takes a part
 * of the budget, and stacks beyond that are "[overflow]". What lives is in the interval that is
 * closed for a page.
 *
 * The collector counts; who reads may be any thread.
 */
#ifndef CPROF_ENGINE_MEMORY_PAGES_H
#define CPROF_ENGINE_MEMORY_PAGES_H

#include "base/budget.h"
#include "profile/profile.h"

/* Before the collector starts; NULL when it has ended, and while its budget is still there. */
void memory_pages_reset(struct budget *budget);

/* [child] Before the reset. Not at rest: the parent's collector may have been amid adding. */
void memory_pages_fork_child(bool at_rest);

/* [collector] Adds a closed interval. */
void memory_pages_count(const struct profile *interval);

/* The profile of both, given the interval that ends now. 0, -ENODATA where it has neither
 * type, -ENOMEM. */
int memory_pages_make(const struct profile *interval, struct profile **made);

/* The same for what was waited for locks. */
int memory_pages_make_locks(const struct profile *interval, struct profile **made);

/* What `now` has more than `before`, with the time between them. NULL: no memory. */
struct profile *memory_pages_change(const struct profile *before, const struct profile *now);

#endif
