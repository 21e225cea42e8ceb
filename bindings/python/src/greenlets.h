/*
 * The greenlets that are suspended, now, for a dump (cprof/asleep.h): each with its Python
 * stack and its span.
 *
 * greenlet has no list of them. So each is noted where its type makes it, and struck off where
 * the type frees it: two of the type's functions are ours, and call the original. Those that
 * there were before are found once among the objects that the garbage collector knows. A
 * thread's main greenlet is found from the first one that the thread makes.
 *
 * Where a greenlet keeps its frames while it is suspended is tried out on one of ours. They are
 * read without the GIL, through copies, as tasks are (tasks.h): what is not as expected is left
 * out. Not with a Python that has no GIL.
 *
 * That begins when cprof starts, when a dump is taken by the program, or when cprof meets
 * greenlet's code on a stack; until then none is shown. At most CPROF_ADDRESSES_MAX.
 */
#ifndef CPROF_PYTHON_GREENLETS_H
#define CPROF_PYTHON_GREENLETS_H

#include "cprof/asleep.h"

/* [GIL] A good moment to begin. Leaves no exception behind. */
void greenlets_learn(void);

/* [collector] A stack goes through greenlet's code. */
void greenlets_met(void);
/* [collector] Has a thread with the GIL begin, if it has been met. */
void greenlets_drained(void);

/* Around fork(2): nobody holds the list's lock meanwhile. */
void greenlets_fork_lock(void);
void greenlets_fork_unlock(void);

/* [collector] The entry of struct cprof_asleep. */
void greenlets_each(bool (*each)(void *closure, const struct cprof_task *task), void *closure);
/* [collector] Adds how many there are. */
void greenlets_count(struct cprof_population *population);

#endif
