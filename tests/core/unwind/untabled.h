/* Functions of a library without unwind information. */
#ifndef UNTABLED_H
#define UNTABLED_H

#include <stdint.h>

/* Send a signal to a thread: from a function without a frame; and from one whose caller, of the
 * same library, is the one that was called, through frames with buffers. */
long untabled_leaf(long pid, long tid, long signo);
long untabled_deep(long pid, long tid, long signo);

/* Lies in the buffer that is nearest to the end of the stack. */
extern uintptr_t untabled_left;

/* function(value) */
int untabled_callback(int (*function)(int), int value);

/* The same of another library, which is not taken for musl's. */
long plain_deep(long pid, long tid, long signo);

#endif
