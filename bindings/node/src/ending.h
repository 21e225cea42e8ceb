/*
 * How a Node process ends. A program that says nothing ends by the event 'exit', which index.js
 * listens to. What ends it without that event (an exception handler that throws, a program that
 * removed all listeners, a worker that is terminated) passes through the environment's cleanup
 * or the C library's exit(). Signals are the core's (engine/terminate.h).
 */
#ifndef CPROF_NODE_ENDING_H
#define CPROF_NODE_ENDING_H

#include <signal.h>
#include <stdbool.h>

struct isolate;

/* runtime.ends_process. Node's handler of SIGINT and SIGTERM gives the terminal back and raises
 * the signal again. */
bool ending_is_nodes(int signal, const struct sigaction *handler);

/* Once, before the engine is started. */
void ending_watch(void);

/* [isolate's thread] Its environment is about to end. */
void ending_of_environment(struct isolate *isolate);

#endif
