/*
 * Leaves a frame for its caller by what is known for certain: a rule, a frame record, a
 * signal's trampoline, a failed call. Inside the walker only. Signal-safe. True: walk->at is
 * the caller. False: where it was a rule or a trampoline, walk->end says why not.
 */
#ifndef CPROF_UNWIND_LEAVE_H
#define CPROF_UNWIND_LEAVE_H

#include "unwind/walk_inside.h"

/* By a rule of the function. False: walk->at is as it was, unless the rule is a signal's. */
bool leave_by_rule(struct walk *walk, const struct unwind_rule *rule);

/* Leaves a signal trampoline for what the signal interrupted, perhaps on another stack. */
bool leave_signal(struct walk *walk);

/* The frame record that a frame pointer points to: the caller's frame pointer and the return
 * address. Believed only if that address is code, or both are zero, as in a first function. */
bool leave_by_frame_pointer(struct walk *walk);

/* A call through a bad pointer has jumped, but executed nothing: the return address is where
 * the call put it. */
bool leave_failed_call(struct walk *walk);

#endif
