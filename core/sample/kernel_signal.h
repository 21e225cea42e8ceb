/*
 * The signal of the kernel's samples (kernel_frames.h), SIGURG: how its handler comes and goes.
 * It is taken only where nobody handles it.
 */
#ifndef CPROF_SAMPLE_KERNEL_SIGNAL_H
#define CPROF_SAMPLE_KERNEL_SIGNAL_H

#include <stdbool.h>

/* 0, also where it is ours already; -EBUSY: the program handles it. */
int kernel_signal_take(void);

/* Is our handler in its place? */
bool kernel_signal_is_ours(void);

/* What was there before is there again. */
void kernel_signal_give(void);

#endif
