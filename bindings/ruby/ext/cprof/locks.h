/*
 * Where Ruby's threads wait for locks, and who lets them go: hooks in the C functions of
 * Mutex's, Monitor's, ConditionVariable's, Queue's and SizedQueue's own methods (methods.h), so
 * that locks which exist already, subclasses and aliases are seen, and stay as they are. What
 * is free, or full enough, goes on to the original at once; where a Mutex says so is learnt by
 * trying one of our own. What is not as expected is refused.
 *
 * One wait counts once, where the thread sleeps: a Monitor calls the functions of its Mutex
 * itself, and a ConditionVariable's wait is one from its begin to where it has its Mutex again.
 *
 * All under the GVL, and for the main Ractor: others' locks go on to the original. The GVL is
 * one more lock (gvl.h).
 */
#ifndef CPROF_RUBY_LOCKS_H
#define CPROF_RUBY_LOCKS_H

/* [start] See struct cprof_runtime. Without the GVL: what is wanted is done by the next two. */
int locks_open(const char **why);
void locks_close(void);

/* Under the GVL, after a start and after a stop. */
void locks_follow(void);
void locks_forget(void);

/* In a fork's child: nobody else waits. */
void locks_child(void);

#endif
