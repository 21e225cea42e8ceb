/*
 * Methods of Ruby's own as they were when the extension was loaded: a program may redefine
 * any, and nothing of ours may fail, or run its code, for that. What the C interface has is
 * called there; this is for what it has not.
 */
#ifndef CPROF_RUBY_ORIGINAL_H
#define CPROF_RUBY_ORIGINAL_H

#include <ruby.h>

/* Once, under the GVL, when the extension is loaded. */
void original_init(void);

VALUE original_thread_list(void);
VALUE original_thread_name(VALUE thread); /* also of a subclass that has another */
VALUE original_thread_native_id(VALUE thread);

/* Calls the function while what signals and other threads raise waits (handle_interrupt). */
void original_uninterrupted(void (*function)(void *), void *argument);

#endif
