/*
 * Waits for the GIL as waits for one more lock, and who had it meanwhile. CPython has no hook
 * for them: whoever finds the GIL taken sleeps at the condition in it, and who lets it go
 * signals that. So the interpreter's own calls of pthread_cond_timedwait(), _wait() and
 * _signal() are led through ours (cprof/imports.h), which pass on all that is about other
 * conditions. A GIL that is free costs nothing; to let it go costs a comparison.
 *
 * A wait is one, however often it wakes up to ask for the GIL again. To the next one belongs
 * the time for which a thread that was asked to let go waits till another has taken over. One
 * at the end of a wait for another lock belongs to that.
 *
 * What is counted stands under the GIL's own mutex, which is held around all of these calls: a
 * sample is taken with it. Of the main interpreter's GIL only.
 */
#ifndef CPROF_PYTHON_GIL_H
#define CPROF_PYTHON_GIL_H

#include <stdbool.h>

#include "cprof/sample.h"

struct _gil_runtime_state;

/* That of the interpreter that is followed: after walk_enable(). */
const struct _gil_runtime_state *gil_followed(void);

/* [start] False: the interpreter's calls are not to be had. The GIL need not be held. */
bool gil_open(void);
void gil_close(void);

/* The calling thread waits for another lock. */
extern CPROF_THREAD_LOCAL bool gil_within;

/* In a fork's child. */
void gil_child(void);

#endif
