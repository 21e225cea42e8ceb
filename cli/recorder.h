/*
 * The flight recorder: what a process did just now, or last, out of the history that it keeps
 * (docs/store.md). One that runs tells where that is, and closes its interval for it; of one
 * that has ended somebody has to name the folder.
 */
#ifndef CPROF_CLI_RECORDER_H
#define CPROF_CLI_RECORDER_H

#include "history.h"
#include "process.h"

/* What the process did in the last so many ns. NULL after having said why; the caller frees. */
struct profile *recorder_ask(struct process *process, uint64_t last, enum load_keep keep);

/* The same out of that folder (and service), up to the last that there is of a process of that
 * number. */
struct profile *recorder_find(const struct history *history, long pid, uint64_t last,
                              enum load_keep keep);

#endif
