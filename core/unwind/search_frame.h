/*
 * Looks for the frame of a thread that sleeps, of which the kernel tells only the pc and the
 * stack pointer: where its frame pointer must point, if that is what leaves the frame. Inside
 * the walker only. Signal-safe.
 */
#ifndef CPROF_UNWIND_SEARCH_FRAME_H
#define CPROF_UNWIND_SEARCH_FRAME_H

#include "unwind/leave.h"
#include "unwind/table.h"

/* Leaves a frame by a rule with which the stack did not agree (leave_by_rule()): from where the
 * frame pointer must be. False where that is known, or is not found. */
bool search_lost_frame(struct walk *walk, const struct unwind_rule *rule);

/* By a rule, and by such a search where the stack does not agree with it. */
static inline bool search_leave_by_rule(struct walk *walk, const struct unwind_rule *rule)
{
    return leave_by_rule(walk, rule) || search_lost_frame(walk, rule);
}

/* Of a thread that sleeps the frame pointer may not be known where the runtime's frames begin:
 * the first place is believed that leads to the thread's first function. */
void search_runtimes_frame(struct walk *walk);

#endif
