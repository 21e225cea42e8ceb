/*
 * The start of a forked child's engine is put off: most children run another program or end at
 * once, and a start costs more than they do. A thread waits until the process has run for
 * LATER_CPU_NS, or has lived for LATER_WALL_NS: one that waits for its first request is to be
 * ready for it. Until then it costs the child that thread and nothing else.
 *
 * Nothing that runs meanwhile is lost: see struct threads_config, held.
 */
#ifndef CPROF_ENGINE_LATER_H
#define CPROF_ENGINE_LATER_H

#include <stdbool.h>

#include "base/clock.h"

#define LATER_CPU_NS (NS_PER_SECOND / 200)
#define LATER_WALL_NS (NS_PER_SECOND / 10)

/* Calls `due` on that thread when it is time, or `over` when none but our threads are left
 * before that. The caller sees to it that a call that comes late does no harm. 0 or a negative
 * errno. */
int later_call(void (*due)(void), void (*over)(void));

/* Has the process run for so long, whether or not that thread has? */
bool later_is_due(void);

#endif
