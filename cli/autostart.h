/*
 * How a program and its children come to start cprof by themselves, and why they did not.
 *
 * Python's packages start it from a .pth file: the environment variables are enough. Ruby and
 * Node must be told to load it. An option that cannot be honoured would stop these from
 * starting at all, so they get it only when they have answered where cprof's file is.
 */
#ifndef CPROF_CLI_AUTOSTART_H
#define CPROF_CLI_AUTOSTART_H

#include <stdint.h>

#include "child.h"
#include "notes.h"

struct autostart {
    const char *program;      /* as typed */
    const char *rate, *types; /* NULL = as the environment has it, or the default */
    const char *directory;    /* where the profiles shall go */
};

/* Sets up cprof's own environment for the child to inherit. 0 or -errno. */
int autostart_prepare(const struct autostart *start);

/* Writes one line to `reason` that says why there is no profile. */
void autostart_explain(const struct autostart *start, const struct child_end *end,
                       const struct notes *notes, char *reason, size_t size);

#endif
