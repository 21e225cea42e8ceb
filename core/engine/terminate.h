/*
 * SIGTERM, SIGINT and SIGHUP under their default disposition end a process at once, the running
 * interval with it: and that is how most services end. So while the engine runs, and nobody
 * else handles one of them, it is ours: the collector sends what there is, within the time that
 * the end may take, and then the process dies of that signal as it would have, with the same
 * status. To the program it looks as if the signal had come a moment later. A handler that the
 * runtime itself put there to end the process (node's, which gives the terminal back) counts as
 * nobody's, and is what the process then dies by.
 *
 * Whatever goes wrong, it dies: a timer sends the signal again, a second one counts at once,
 * and a process in which no engine runs (a forked child that stays dormant) dies as if we were
 * not there. A program that handles a signal itself, now or later, never meets us; neither does
 * process 1, which the default does not end.
 *
 * The caller sees to it that arming and disarming never happen at once.
 */
#ifndef CPROF_ENGINE_TERMINATE_H
#define CPROF_ENGINE_TERMINATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What is added to that before the timer ends it. */
#define TERMINATE_GRACE 2 /* seconds */

struct cprof_runtime;

/* `wake` is posted when a signal has come; what follows takes `seconds` at most. Once more
 * while armed: takes what has become free. `runtime` may be NULL. */
void terminate_arm(_Atomic uint32_t *wake, const struct cprof_runtime *runtime, double seconds);

/* Has one come? */
bool terminate_requested(void);

/* Dies of it, as the process would have. Returns only where that does not end the process. */
void terminate_now(void);

/* The engine has ended: what came meanwhile takes effect. */
void terminate_disarm(void);

#endif
