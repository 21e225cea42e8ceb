/*
 * Whether the loader's list of modules can be read. It always can, but for the child of a
 * fork: glibc leaves the loader's lock there as another thread of the parent may have held it,
 * and who takes it then waits for ever. Which of both it is was decided by the fork, so one
 * answer holds for the life of the process; nothing but a thread that tries can find it out.
 *
 * A thread that never comes back owns nothing and costs nothing but its stack. Any thread may
 * call.
 */
#ifndef CPROF_COLLECT_LOADER_LOCK_H
#define CPROF_COLLECT_LOADER_LOCK_H

#include <stdbool.h>

/* In the child of a fork: it has to be asked anew. */
void loader_lock_doubt(void);

/* True when the list can be read; after a doubt, asks and waits for at most `seconds`. False:
 * not now, and as good as surely never. */
bool loader_lock_is_usable(double seconds);

#endif
