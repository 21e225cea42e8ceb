/*
 * The signal of the kernel's samples (kernel_frames.h): which one it is, and how its handler
 * comes and goes. It is SIGURG, or SIGWINCH where somebody handles that, as `cprof start PID`
 * has runtimes do (docs/control.md). Both are ignored by default, so that one that comes late
 * harms nobody, and neither is queued: a signal of a higher number, as timers have it, would
 * not do, since where the user has too many of those pending the kernel sends SIGIO in its
 * place, which kills.
 */
#ifndef CPROF_SAMPLE_KERNEL_SIGNAL_H
#define CPROF_SAMPLE_KERNEL_SIGNAL_H

#include <stdbool.h>

/* Its number, also where it is ours already; -EBUSY: the program handles both. */
int kernel_signal_take(void);

/* Is our handler in its place? */
bool kernel_signal_is_ours(void);

/* What was there before is there again. */
void kernel_signal_give(void);

#endif
