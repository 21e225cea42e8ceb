/*
 * Starting a thread of cprof's own: it receives no signals, so that the host's handlers never
 * run on it; has a stack of 1 MiB (TLS libraries and the demangler want some), whatever the
 * program's limit says; and a name that keeps the scan (sample/threads.h) from sampling it.
 */
#ifndef CPROF_BASE_OWN_THREAD_H
#define CPROF_BASE_OWN_THREAD_H

#include <pthread.h>
#include <stdbool.h>

#define OWN_THREAD_PREFIX "cprof-"

/* 0 or a negative errno. The caller joins or detaches the thread. `name` is static and begins
 * with OWN_THREAD_PREFIX. */
int own_thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *argument);

/* The same without a look into /proc, which costs a process that ends at once more than all
 * else: the thread has its name a moment later. */
int own_thread_start_quietly(pthread_t *thread, const char *name, void *(*run)(void *),
                             void *argument);

/* Is it the calling one? Signal-safe. */
bool own_thread_is_current(void);

/* Has the process a thread of this name, ours or another copy's of cprof? */
bool own_thread_exists(const char *name);

#endif
