/*
 * Threads that sleep, as looks of the collector see them, without the GIL and without waking
 * them (cprof/asleep.h): their frames, span and labels, whether they wait for the GIL, and
 * whether they wait for work.
 *
 * A thread's state is found in the interpreter's list once, by the kernel's number, and checked
 * at each further look.
 */
#ifndef CPROF_PYTHON_ASLEEP_H
#define CPROF_PYTHON_ASLEEP_H

#include <stdbool.h>

#include "cprof/asleep.h"

/* [GIL] After walk_enable(). Contexts are read only if `contexts`. */
const struct cprof_asleep *asleep_enable(bool contexts);

/* [collector] What the contextvars context at that address says, read through copies. False:
 * nothing, or contexts are not read. */
struct readable;
bool asleep_read_variables(const void *address, struct cprof_context *context,
                           struct readable *memory);

#endif
