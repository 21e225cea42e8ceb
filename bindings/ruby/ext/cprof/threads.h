/*
 * Telling the core of Ruby's threads: which native thread runs which of them, from when and
 * until when, and what it is called.
 *
 * Ruby keeps native threads for use by other Ruby threads, and from 3.3 on may move a Ruby
 * thread between native ones; where Ruby has hooks for it (3.3) they are followed, before that
 * the events of a thread's begin and end are.
 */
#ifndef CPROF_RUBY_THREADS_H
#define CPROF_RUBY_THREADS_H

#include <stdbool.h>

/* Under the GVL. */
void threads_hook(void);
void threads_unhook(void);
void threads_enter_current(void); /* the calling thread, which was there before the hooks */

/* [handler] The native thread has ended its Ruby thread: its context must not be looked at. */
extern __thread bool threads_over __attribute__((tls_model("initial-exec")));

#endif
