/*
 * What the processes of a run have noted in its folder (base/note.h), summed up.
 */
#ifndef CPROF_CLI_NOTES_H
#define CPROF_CLI_NOTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct notes {
    size_t processes;   /* in which cprof started, or wanted to */
    size_t unended;     /* that have not said that they ended */
    size_t running;     /* of these, that are still there */
    uint64_t samples;   /* by those that ended */
    uint64_t unsampled; /* their threads without a timer */
    char refused[512];  /* why cprof did not start in one; "" when it did in all */
};

void notes_read(const char *folder, struct notes *notes);

/* Reads them once those that are about to end have done so: a helper of multiprocessing ends a
 * moment after its program. Waits at most that long. */
void notes_settle(const char *folder, double seconds, struct notes *notes);

#endif
