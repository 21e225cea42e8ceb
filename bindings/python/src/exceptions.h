/*
 * Exceptions that are raised, for the profile type `exception` (docs/exceptions.md): from
 * Python 3.12 on sys.monitoring tells of them, in a tool slot of our own. Older ones tell only
 * a trace function, for which all code runs slowly: there the type is off.
 *
 * RAISE comes for each frame that an exception passes, after that frame has been added to its
 * traceback. So it is new where the traceback has one entry: what is raised again, or was
 * raised in another thread before, has more. What ends loops and generators is not counted.
 */
#ifndef CPROF_PYTHON_EXCEPTIONS_H
#define CPROF_PYTHON_EXCEPTIONS_H

/* [start] See struct cprof_runtime. With the GIL or without. */
int exceptions_open(const char **why);
/* The hook stays in and does nothing. */
void exceptions_close(void);

/* With the GIL, after the end: takes it out. Not in vain where it was never in. */
void exceptions_forget(void);

#endif
