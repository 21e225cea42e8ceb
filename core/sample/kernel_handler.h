/*
 * The handler of the signal that the kernel's samples come by (kernel_signal.h): it reads what
 * is in its thread's ring, and takes a sample of each (take.h).
 */
#ifndef CPROF_SAMPLE_KERNEL_HANDLER_H
#define CPROF_SAMPLE_KERNEL_HANDLER_H

#include "sample/handler.h"

/* [handler] What the signal runs. */
handler_function kernel_handler_on_signal;

#endif
