/*
 * Threads that Python starts register themselves with the core in their first instant, so that
 * those that live a few milliseconds are sampled in proportion.
 *
 * threads_hook() replaces the functions that start threads (in _thread and threading) by ones
 * that wrap the thread's function in a callable of this file: no Python frame is added, and
 * its repr is the function's. threads_unhook() puts the originals back; a replacement that
 * somebody holds on to keeps working, as a plain detour.
 */
#ifndef CPROF_PYTHON_THREADS_H
#define CPROF_PYTHON_THREADS_H

/* [GIL] 0, or -1 with a Python exception. */
int threads_hook(void);
void threads_unhook(void);

#endif
