/*
 * What `cprof run` wants to know of the processes that come of its program, and no profile can
 * say: that cprof started in them, why it did not, how it ended. Each notes it in a file of its
 * own, PID.note, in the folder that the variable names; without the variable nothing is noted.
 *
 *   started                      sampling has begun
 *   refused TEXT                 it has not: the line that people saw
 *   ended SAMPLES UNSAMPLED      it has stopped; samples in all, threads without a timer
 *
 * A line for each; a process that becomes another program (exec) goes on in its file. A folder
 * that can't be written to, or has gone with `cprof run`, is no error. Any thread may call, but
 * note_open() first; never a signal handler.
 */
#ifndef CPROF_BASE_NOTE_H
#define CPROF_BASE_NOTE_H

#include <stdbool.h>
#include <stdint.h>

#define NOTE_VARIABLE "CPROF_RUN"
#define NOTE_ENDING ".note"

/* Reads the variable: the program may change its environment later. */
void note_open(void);

void note_started(void);
void note_refused(const char *line);
void note_ended(uint64_t samples, uint64_t unsampled);

/* Is the path in that folder? It goes when `cprof run` ends, whoever still runs. */
bool note_is_beside(const char *path);

#endif
