/*
 * Control at run time (docs/control.md): what the owner of a process can ask of cprof in it.
 *
 * Where it can be asked (cprof_control_open()) a process listens on a socket of its own while
 * the engine runs. The collector looks a few times a second whether somebody is there; only
 * then a thread is started that serves (pull/server.h), and it ends when nobody has asked for
 * PULL_PATIENCE. So asking works also while the interpreter hangs.
 *
 * Where the engine does not run there is neither socket nor thread, but a file that says what
 * to find (control/folder.h), and the runtime's handler of CONTROL_SIGNAL: whoever wants to ask
 * leaves a file beside it and sends the signal. The runtime calls cprof_control_take() at its
 * next safe point, and then the process listens until it is idle again.
 *
 * Orders go the same way: the server's thread has one ready, and sends the signal to its own
 * process. The runtime takes it and obeys, where it has its interpreter's lock.
 *
 * The lock here comes after those of struct engine, and before a server's own.
 */
#ifndef CPROF_ENGINE_CONTROL_H
#define CPROF_ENGINE_CONTROL_H

#include <stddef.h>

#include "pull/server.h"

/* cprof_control_open(), with the lifecycle lock. */
int control_open(const char *language, char *error, size_t error_size);

/* With the lifecycle lock: the engine is about to run. */
void control_begun(void);

/* [collector] It runs: listens. Then each turn: is somebody there? */
void control_listen(void);
void control_look(void);

/* With the lifecycle lock: it has ended. */
void control_stopped(void);

/* Has the runtime collect garbage, and waits for some seconds. 0, or a negative errno with a
 * line in `why`. */
int control_collect(char why[PULL_WHY_SIZE]);

/* The program ends. Nobody may ask any more. */
void control_close(void);

/* [collector] A signal is about to end the process: its files go. */
void control_unlink(void);

/* Around fork, right at it; and [child] when the runtime's hooks have said that it is one. A
 * child has none of its parent's, and then its own. */
void control_fork_lock(void);
void control_fork_unlock(void);
void control_fork_child(void);
void control_forked(void);

#endif
