/*
 * Where Python's threads wait for locks: hooks in the methods of _thread.lock and
 * _thread.RLock, on which all of threading and queue stands, and of _multiprocessing.SemLock,
 * where that is to be had. A Semaphore waits in a Condition and that in a lock, which is where
 * a wait is counted: once.
 *
 * The entries of the types' own method tables are replaced, so that locks which exist
 * already, subclasses, pickles and isinstance() stay as they are. A lock that is free goes on
 * to the original at once; whether it is free is read from the object, at a place that is
 * learnt by trying a lock of our own. What is not as expected is refused.
 *
 * Whoever waits is listed by his lock while he does, so that who lets it go meanwhile can say
 * who he is. The list is bounded: past it waits are counted all the same, without that.
 *
 * Under the GIL, and for the main interpreter: others' locks go on to the original.
 * Thread.join() up to 3.12 waits at a lock too, and does not count.
 */
#ifndef CPROF_PYTHON_LOCKS_H
#define CPROF_PYTHON_LOCKS_H

/* [start] See struct cprof_runtime. With the GIL or without. */
int locks_open(const char **why);
void locks_close(void);

/* In a fork's child, on the thread that forked: nobody else waits. */
void locks_child(void);

#endif
