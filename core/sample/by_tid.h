/*
 * The records of threads that live, by the kernel's number of the thread: hash chains through
 * the records. The registry changes them under its mutex; a thread that looks for its own
 * record takes no lock. Records are static, and a walk through a chain that changes meanwhile
 * is cut off: at worst it finds nothing this time. What it finds may be of a thread before it
 * that had its number, and is as good as its own (self.h).
 *
 * Handler code, but for the two that change a chain.
 */
#ifndef CPROF_SAMPLE_BY_TID_H
#define CPROF_SAMPLE_BY_TID_H

#include "sample/thread.h"

struct thread *by_tid_find(pid_t tid); /* NULL: none */

/* [registry] The record has its tid. */
void by_tid_add(struct thread *thread);
void by_tid_remove(const struct thread *thread);
void by_tid_clear(void);

#endif
