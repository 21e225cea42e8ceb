/*
 * A function that is called when the process ends by exit(), for bindings whose runtime may end
 * it without a word. The C library calls what was registered last first: a library that is
 * loaded later (OpenSSL) would have cleaned up before ours wants to use it. So whoever has
 * loaded one says at_exit_again().
 *
 * Any thread may call, and the function may be called more than once. It is never called for a
 * process that a signal or _exit() ends. Up to AT_EXIT_TIMES registrations; more are ignored.
 */
#ifndef CPROF_BASE_AT_EXIT_H
#define CPROF_BASE_AT_EXIT_H

#define AT_EXIT_TIMES 16

/* `call` must stay loaded. One function a process: the first stays. */
void at_exit_call(void (*call)(void));
void at_exit_again(void);

#endif
