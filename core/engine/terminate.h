/*
 * SIGTERM under its default disposition ends a process at once, the running interval with it:
 * and that is how most services end. So while the engine runs, and nobody else handles SIGTERM,
 * it is ours: the collector sends what there is, within TERMINATE_SECONDS, and then the process
 * dies of SIGTERM as it would have, with the same status. To the program it looks as if the
 * signal had come a moment later.
 *
 * Whatever goes wrong, it dies: a timer sends the signal again, a second one counts at once,
 * and a process in which no engine runs (a forked child that stays dormant) dies as if we were
 * not there. A program that handles SIGTERM itself, now or later, never meets us; neither does
 * process 1, which the default does not end.
 */
#ifndef CPROF_ENGINE_TERMINATE_H
#define CPROF_ENGINE_TERMINATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define TERMINATE_SECONDS 2

/* `wake` is posted when the signal has come. */
void terminate_arm(_Atomic uint32_t *wake);

/* Has it come? */
bool terminate_requested(void);

/* Dies of it, by the default disposition. Returns only where that does not end the process. */
void terminate_now(void);

/* The engine has ended: what came meanwhile takes effect. */
void terminate_disarm(void);

#endif
