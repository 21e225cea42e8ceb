/*
 * Pauses of Python's garbage collector, for the profile type `gc` (docs/collections.md), by a
 * function in gc.callbacks, where it is the last. Its cause is `collect` while gc.collect()
 * runs, whose C function is wrapped for that, and else `threshold`.
 */
#ifndef CPROF_PYTHON_PAUSES_H
#define CPROF_PYTHON_PAUSES_H

/* [start] See struct cprof_runtime. With the GIL or without. */
int pauses_open(const char **why);
/* The hook stays in and does nothing. */
void pauses_close(void);

/* With the GIL, after the end: takes it out. Not in vain where it was never in. */
void pauses_forget(void);

#endif
