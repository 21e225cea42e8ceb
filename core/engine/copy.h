/*
 * Two copies of cprof in one process: two packages that each bring their own, or one installed
 * twice. Both would sample each other, and everything twice, so only the first runs.
 *
 * A copy that runs is seen by the handler that it has for the C library's signal, which lies
 * neither here nor in that library (sample/install.h), and by its collector's thread. The
 * handler alone is left over in a forked child in which that copy stays dormant. Where the
 * signal is another one, the thread alone tells.
 */
#ifndef CPROF_ENGINE_COPY_H
#define CPROF_ENGINE_COPY_H

#include <stdbool.h>
#include <stddef.h>

/* While this copy's engine does not run: does another's? A line for people says which. */
bool copy_runs(char *line, size_t size);

#endif
