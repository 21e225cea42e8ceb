/*
 * The names of the threads that ended last, by the kernel's number: a sample may tell of a
 * thread that has ended by the time it is read (who let a lock go). Bounded: the oldest is
 * forgotten for the newest. The registry calls all of it under its mutex.
 */
#ifndef CPROF_SAMPLE_DEPARTED_H
#define CPROF_SAMPLE_DEPARTED_H

#include "sample/thread.h"

#define DEPARTED_KEPT 512

void departed_add(const struct thread *thread);
/* The name of the last one with that number; NULL: not kept. */
const char *departed_name(pid_t tid);
void departed_clear(void);

#endif
