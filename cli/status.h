/*
 * What a process says of itself (docs/control.md, /cprof/status), without being woken for it:
 * one that listens is asked, of one that stands by the file is read that it has left.
 */
#ifndef CPROF_CLI_STATUS_H
#define CPROF_CLI_STATUS_H

#include <limits.h>

#include "process.h"

/* Texts are "" where it says nothing. */
struct status {
    char state[16], service[256], language[16], types[64], origin[32];
    char store[PATH_MAX]; /* the folder of its history, as it sees it */
    long long since;      /* Unix time; 0: not known */
    long long pid;        /* as it sees itself */
};

/* 0, or a negative errno as process_receive() has it. `text` becomes what it said, which the
 * caller frees in any case. */
int status_inquire(struct process *process, struct buffer *text, struct status *status);

#endif
