/*
 * The tasks of asyncio, now, for a dump and for looks (cprof/asleep.h): each with the
 * coroutines that it awaits, and with those that await it (awaiters.h).
 *
 * Read without the GIL, through copies: a task may end, and its memory go, while it is read.
 * What is not as expected ends a stack, or leaves out a task. For looks a task
 * that is suspended is read twice, and shown if both say the same: nothing else proves that it
 * stood still meanwhile.
 *
 * Before 3.14 all tasks are in sets of asyncio's; from then on in lists of the threads' states.
 * Where those are is learnt under the GIL, once asyncio has been imported.
 */
#ifndef CPROF_PYTHON_TASKS_H
#define CPROF_PYTHON_TASKS_H

#include "cprof/asleep.h"

/* [GIL] A good moment to learn it. Leaves no exception behind. */
void tasks_learn(void);

/* [collector] The entries of struct cprof_asleep. */
size_t tasks_each(bool (*each)(void *closure, const struct cprof_task *task), void *closure,
                  bool twice);
enum cprof_wait tasks_wait(const struct cprof_function *functions, size_t count);
void tasks_count(struct cprof_population *population);

#endif
