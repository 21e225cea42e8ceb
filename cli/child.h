/*
 * Runs a program in the foreground as time(1) does: it has the terminal, and keyboard signals
 * go to it. SIGTERM and SIGHUP that are sent to cprof are passed on. One at a time.
 */
#ifndef CPROF_CLI_CHILD_H
#define CPROF_CLI_CHILD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct child_end {
    pid_t pid;
    int exit_code;   /* 128 + n when signal n ended it */
    uint64_t cpu_ns; /* with the children that it has waited for */
};

/* `output` becomes its standard output. 0, or -errno when the program could not be started. */
int child_run(char *const *argv, int output, struct child_end *end);

/* Runs a program silently and keeps the first line of what it prints. 0, or -1 when it can't
 * be run or fails. */
int child_ask(char *const *argv, char *answer, size_t size);

#endif
