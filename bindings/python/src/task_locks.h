/*
 * Where asyncio's tasks wait for its locks: Lock, Event, Condition, Semaphore and Queue, and
 * what stands on them. A task waits where one of their coroutines awaits a future that it has
 * just made; all of them ask _LoopBoundMixin._get_loop() for the loop to make it with, and only
 * when they have to wait. That method leads through ours, which gives those coroutines, known
 * by their code, a future of our own kind: it notes when it is awaited, when it is done, and by
 * whom. A lock that is free costs nothing: nothing of ours is called.
 *
 * A wait is counted as the task goes on, on its own stack, so with its own span and labels; one
 * that is cancelled as well. The blame is on the stack that wakes the task.
 *
 * Whoever waits for a Lock or a Semaphore, which somebody holds, is listed by it
 * (cprof/waiters.h): who lets it go is blamed for all of them. What tasks else wait for is
 * nobody's until it comes: that is the task's own wait, and is not listed.
 *
 * Where asyncio is imported later its hook goes in at the end of that import. Under the GIL,
 * and for the main interpreter: others' locks go on to the original.
 */
#ifndef CPROF_PYTHON_TASK_LOCKS_H
#define CPROF_PYTHON_TASK_LOCKS_H

/* [GIL] The hook goes in, now or when asyncio is imported. Leaves no exception behind. */
void task_locks_open(void);

/* With the GIL or without: nothing counts from now on. */
void task_locks_close(void);

/* [GIL] Takes the hook out. */
void task_locks_forget(void);

#endif
