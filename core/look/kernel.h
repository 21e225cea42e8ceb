/*
 * What the kernel says of another thread of this process, in /proc/self/task/TID: where it
 * sleeps (syscall), whether it does (stat), in which functions of the kernel's own (stack,
 * wchan) and how long it has waited for a CPU (schedstat).
 *
 * Threads of one's own may always be asked about, whatever ptrace allows, unless the process is
 * not dumpable (setuid, file capabilities): then EACCES. Some sandboxes and kernels have no
 * such file: ENOENT. A file is opened, read and closed each time, 7 µs: a process may have more
 * threads than descriptors, and hosts close those they do not know.
 *
 * Any thread; not a signal handler.
 */
#ifndef CPROF_LOOK_KERNEL_H
#define CPROF_LOOK_KERNEL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cprof/runtime.h"
#include "symbol/kernel_names.h"

enum { KERNEL_ARGUMENTS = 6, KERNEL_PAGE_FAULT = -1, KERNEL_NO_WORD = -2 };

/* Where a thread sleeps: all of one moment. */
struct kernel_asleep {
    long call;                            /* the system call's number, or KERNEL_PAGE_FAULT */
    uint64_t arguments[KERNEL_ARGUMENTS]; /* 0 in a page fault */
    struct cprof_registers at;            /* fp is 0 */
};

/* 0; -EAGAIN: it runs, or would if it had a CPU; -ESRCH: it has ended; else why the file can't
 * be read. */
int kernel_asleep(pid_t tid, struct kernel_asleep *asleep);

/* Where that file can't be read: does the thread sleep (stat), and in which of the kernel's
 * functions (wchan)? "": that is not known. 0; -EAGAIN and -ESRCH as above; else why not even
 * that is said. */
int kernel_sleeps(pid_t tid, char function[KERNEL_NAME_SIZE]);

/* The state's letter in the text of `stat`; 0: it is something else. */
char kernel_state(const char *stat);

/* The same of the file's text, which need not end with NUL. -EINVAL: it is something else. */
int kernel_asleep_read(const char *text, size_t length, struct kernel_asleep *asleep);

/* How much the kernel says of its own functions. */
enum kernel_word {
    KERNEL_SILENT,
    KERNEL_FUNCTION, /* the one that waits (wchan) */
    KERNEL_STACK,    /* also who has called it, where root asks (stack) */
};

/* What it says to this process. */
enum kernel_word kernel_word(void);

/* Its functions in which the thread sleeps, innermost first, each by the address of its name
 * (symbol/kernel_names.h). Returns how many; 0: it does not say. */
size_t kernel_functions(pid_t tid, enum kernel_word word, uintptr_t *functions,
                        size_t capacity);

/* The next function's name in the text of `stack`, of which *text is what is left: where it
 * begins, and its *length. NULL: there is none. */
const char *kernel_stack_next(const char **text, size_t *length);

/* Nanoseconds for which the thread could have run and had no CPU; 0 where that is not known. */
uint64_t kernel_run_delay(pid_t tid);

/* How often it was given a CPU: once after each sleep, and whenever another one had it for a
 * while. 0 where that is not known. */
uint64_t kernel_runs(pid_t tid);

#endif
