/*
 * The turns of asyncio's event loops, for the core (cprof/loop.h). A loop waits in the method
 * poll() of select.epoll: that, and asyncio's function that says which loop runs on a thread,
 * lead through ours from when asyncio has been imported and cprof knows of it: at the start, or
 * when it first meets a coroutine, as for tasks.h. Loops that wait in another way (uvloop's,
 * and selectors that a program picks itself) are not followed, nor those of other interpreters.
 */
#ifndef CPROF_PYTHON_TURNS_H
#define CPROF_PYTHON_TURNS_H

/* [GIL] A good moment to put the hooks in, if they are not. Leaves no exception behind. */
void turns_learn(void);

/* [GIL] Takes them out. */
void turns_forget(void);

#endif
