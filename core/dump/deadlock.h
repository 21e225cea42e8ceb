/*
 * Deadlocks in a dump: threads that wait for each other in a circle. A thread waits for one
 * lock at a time, and that has one holder, so every thread is part of at most one.
 *
 * What is found is a suspicion as long as the threads were looked at one after the other: who
 * took the dump looks at them once more (collect/survey.h). No state.
 */
#ifndef CPROF_DUMP_DEADLOCK_H
#define CPROF_DUMP_DEADLOCK_H

#include <stdbool.h>

#include "dump/dump.h"

/* Finds each thread's holder. */
void deadlock_link(struct dump *dump);

/* Numbers the circles in which every thread has `held` still; returns how many there are. */
unsigned deadlock_find(struct dump *dump,
                       bool (*held)(void *closure, const struct dump_thread *thread),
                       void *closure);

#endif
