/*
 * The handler of the sampling signal (install.h): which thread's timer has expired, how many
 * times, and with that it takes a sample (take.h). It sees nothing of ours until take_show().
 *
 * It needs at most 2 KiB of stack besides the signal frame (3.3 KiB with AVX-512), so the least
 * stack that a thread can have will do. SA_ONSTACK: a thread that brought an alternate stack
 * (Go's threads in a shared library, Ruby's, Rust's) may be running on one too small for a
 * signal frame. SA_RESTART: the timers run on CPU clocks, so a system call that sleeps is
 * hardly ever hit; one that is goes on.
 */
#ifndef CPROF_SAMPLE_HANDLER_H
#define CPROF_SAMPLE_HANDLER_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

typedef void handler_function(int signal, siginfo_t *info, void *ucontext);

/* [handler] What the signal runs. */
handler_function handler_on_signal;

/* What goes on with a signal that is not ours: the handler that was there before. Set before
 * ours is installed, and never again. NULL: nothing. */
extern _Atomic(handler_function *) handler_former;

/* The timers tick for the runtime (its tick()), and nothing is sampled: nobody counts CPU time.
 * [start] Before there are timers. */
extern atomic_bool handler_only_ticks;

#endif
