/*
 * The process context that other processes read (OTEP 4719): the resource of our profiles, and
 * the names of the attributes that thread context records carry by number. It lies in a
 * mapping of its own that readers find by its name, OTEL_CTX, in /proc/PID/maps.
 *
 * A process has one. Where an OpenTelemetry SDK publishes its own already we stay silent,
 * records included. A forked child does not have its parent's mapping and publishes anew.
 *
 * The names are numbered in the order of their first use, 256 at most, for the life of the
 * process. One lock guards everything; it is held for moments, and across fork.
 */
#ifndef CPROF_CONTEXT_PROCESS_H
#define CPROF_CONTEXT_PROCESS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "profile/profile.h"

/* Attaching writes thread context records (record.h). */
extern _Atomic bool process_context_shared;

/* Threads write their records from now on; process_context_publish() is about to be called. */
void process_context_open(void);
/* Publishes the resource of the model. 0; -EEXIST when somebody else does; or another negative
 * errno. Says what went wrong in the log: the program and its profiles go on without. */
int process_context_publish(const struct profile *model);
void process_context_withdraw(void);

/* The number of an attribute's name, or -ENOSPC, -ENOMEM. Publishes anew when it is new. */
int process_context_key(const char *name);

/* There are thread context records from now on: publishes how to read them, once. */
void process_context_tell_records(void);

/* Around fork. In the child nothing is published any more. */
void process_context_fork_lock(void);
void process_context_fork_unlock(void);
void process_context_forget(void);

#endif
