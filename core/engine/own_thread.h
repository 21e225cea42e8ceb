/*
 * Starting a thread of cprof's own: it receives no signals, has a stack of 1 MiB whatever the
 * program's limit says, and a name that keeps the scan from sampling it.
 */
#ifndef CPROF_ENGINE_OWN_THREAD_H
#define CPROF_ENGINE_OWN_THREAD_H

#include <pthread.h>

/* 0 or a negative errno. The caller joins or detaches the thread. `name` carries
 * THREADS_OWN_PREFIX. */
int own_thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *argument);

#endif
