/*
 * A thread's timer: when it gets one, which signal that sends, and who can't have one.
 *
 * A thread that blocks a maskable signal gets no timer: what it waits for is not to be ours.
 * Its mask is read when it is armed, and at each scan that finds that it has run. One that
 * blocks the C library's signal by a system call of its own loses its timer when a scan finds
 * that it runs and no signal arrives. A signal that is still pending is void then, so nothing
 * counts twice (due.h).
 *
 * The registry calls this under its mutex; it decides what state a thread is in.
 */
#ifndef CPROF_SAMPLE_ARMING_H
#define CPROF_SAMPLE_ARMING_H

#include "sample/thread.h"

/* From now on timers send `signal`, which threads can block if it is `maskable` (install.h). */
void arming_use(int signal, bool maskable);

/* Sampling begins. */
void arming_open(uint64_t period_ns);

/* May a thread have no timer, as it blocks the signal? thread->masked counts the looks in a row
 * that found it so: one may fall into a moment of the C library's, as whoever starts a thread
 * blocks all signals meanwhile. */
bool arming_is_barred(struct thread *thread);

/* Is the timer of a thread that has run for `ran_ns` of no use, as it blocks the signal? */
bool arming_is_futile(struct thread *thread, uint64_t ran_ns);

/* Has the thread the signal in its mask, or is the mask not to be believed now? */
bool arming_masks(pid_t tid, int signal);

/* Arms the timer of a thread that is planned (due.h): 0; -EAGAIN at the limit of signals;
 * -EINVAL when the thread is gone. */
int arming_arm(struct thread *thread, uint64_t ran_ns, bool enters);

/* Takes it away, and with it what is pending. */
void arming_disarm(struct thread *thread);

/* Says why some threads are not sampled: -EPERM for blocked signals, -ENOMEM for no ring, or
 * what arming_arm() gave. Once a run. */
void arming_warn(int error);

#endif
