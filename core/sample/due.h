/*
 * When a thread is due for its samples, and what it is owed of those that no signal brought.
 *
 * A thread that a scan finds has already run for up to a scan's distance. The samples that it
 * would have had by then are its backlog, and go as additional weight with its first ones: so
 * totals hold, and threads that only live for some scans are not under-represented. One that
 * has left and goes on, as native threads do that wait for their next Ruby thread, has run
 * unseen since it left, once it enters or a scan finds it.
 *
 * Threads that enter and leave by themselves lose nothing at their ends: see account.h. What
 * threads without a timer run is read from their CPU clocks, and owed without a stack.
 *
 * All times are a thread's CPU time. The registry calls this under its mutex.
 */
#ifndef CPROF_SAMPLE_DUE_H
#define CPROF_SAMPLE_DUE_H

#include "sample/thread.h"

/* Sampling begins; nothing is known of any thread. */
void due_open(uint64_t period_ns);

/* All threads that live are known: who is found from now on began after that. */
void due_all_known(void);

/* From which of its CPU time on a thread that we do not know is to be counted; UINT64_MAX: from
 * now on. */
uint64_t due_from(pid_t tid);

/* Settles when a thread that has run for `ran_ns`, and is counted from due_from() on, is due
 * for its first sample; only once. One that `enters` by itself will say when it ends, and may
 * take over what another has left. */
void due_plan(struct thread *thread, uint64_t ran_ns, uint64_t from_ns, bool enters);

/* The first expiry of a timer for it, and how often it would have expired before. */
uint64_t due_first_expiry(const struct thread *thread, uint64_t ran_ns, bool enters,
                          uint32_t *backlog);

/* The CPU time until its next expiry; negative: since. What is left of its backlog has been. */
int64_t due_next(const struct thread *thread, uint64_t ran_ns);

/* Has it waited for a sample for longer than a thread does whose signals arrive? */
bool due_is_starved(const struct thread *thread, uint64_t ran_ns);

/* It has no timer, and is owed what it has run since. */
void due_owe(struct thread *thread, uint64_t ran_ns);

/* It ends, or is not ours any more, having run for `ran_ns`; its timer is gone. Its account may
 * be held then: thread->held. */
void due_leave(struct thread *thread, uint64_t ran_ns);

/* The thread leaves, and may go on and come back. */
void due_note_leaver(const struct thread *thread, uint64_t ran_ns);

/* Accounts that wait are paid, by threads that have been sampled. */
void due_pay(void);

/* Sampling has ended for all threads: all accounts are paid. */
void due_close(void);

#endif
