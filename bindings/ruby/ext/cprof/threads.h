/*
 * Telling the core of Ruby's threads: which native thread runs which of them, from when and
 * until when, and what it is called.
 *
 * Ruby keeps native threads for use by other Ruby threads, and from 3.3 on may move a Ruby
 * thread between native ones; where Ruby has hooks for it (3.3) they are followed, before that
 * the events of a thread's begin and end are. Those are the main Ractor's only: what runs in
 * others is not known there, and must not be looked at, as its end isn't known either.
 */
#ifndef CPROF_RUBY_THREADS_H
#define CPROF_RUBY_THREADS_H

#include <stdbool.h>

#include <ruby.h>

/* Under the GVL, before the first start, so that no thread is sampled that goes on unseen. From
 * then on threads are followed, also while the profiler is stopped: what a native thread ran
 * before that says nothing of it afterwards. */
void threads_follow(void);

/* Under the GVL, after each start. */
void threads_started(void);

/* Under the GVL: the calling thread. Also in a forked child. */
void threads_enter_current(void);

/* Under the GVL: the name that a thread has, or all that live. */
void threads_tell_name(VALUE thread);
void threads_tell_names(void);

/* [handler] The rb_thread_t that the native thread is known to run; NULL: not known. */
extern __thread void *threads_running __attribute__((tls_model("initial-exec")));

/* [handler] The native thread has ended its Ruby thread: its context must not be looked at. */
extern __thread bool threads_over __attribute__((tls_model("initial-exec")));

#endif
