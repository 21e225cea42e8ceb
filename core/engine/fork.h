/*
 * What happens right at a fork: the engine is brought to rest and its locks are held, and the
 * child lets go of all that stood in the parent. cprof_fork_prepare() and cprof_fork_parent(),
 * the runtime's hooks, only announce a fork; the child's start is engine.c's.
 */
#ifndef CPROF_ENGINE_FORK_H
#define CPROF_ENGINE_FORK_H

#include <stdbool.h>

/* Seconds that fork waits for other threads' work before it goes ahead without. */
#define FORK_WAIT 0.05

/* Puts the C library's handlers in place, once: 0 or -ENOMEM. With the lifecycle lock. */
int fork_hook(void);

/* Has a hook of the runtime announced a fork on this thread that is not over yet? */
bool fork_is_announced(void);
void fork_is_over(void);

#endif
