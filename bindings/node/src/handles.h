/*
 * The open handles of the event loops, now, for a dump (cprof/asleep.h): what libuv has in the
 * list of each loop, by the names that process.getActiveResourcesInfo() gives them.
 *
 * Read without running anything on the loops' threads, through copies: also while a loop is
 * blocked. What changes meanwhile may be missed. Sockets, pipes, terminals, child processes and
 * files that are watched are shown whether or not they keep the loop alive; timers, signals and
 * the like where they do, as Node has some of its own that don't. All timers of JavaScript
 * share one of libuv's.
 *
 * The layout of handles is libuv's public ABI (uv.h), the same since 1.0.
 */
#ifndef CPROF_NODE_HANDLES_H
#define CPROF_NODE_HANDLES_H

#include "cprof/asleep.h"

/* [collector] The entry of struct cprof_asleep. */
void handles_each(bool (*each)(void *closure, const struct cprof_task *task), void *closure);

#endif
