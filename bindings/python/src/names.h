/*
 * From (code object, instruction) to function, file and line: the collector's side.
 *
 * Runs without the GIL. Code objects never change what is read here, and graves.h keeps them
 * alive meanwhile; still every read is guarded, because a sample may have caught a pointer in
 * the middle of a change: such a frame resolves to an error, not to a crash.
 */
#ifndef CPROF_PYTHON_NAMES_H
#define CPROF_PYTHON_NAMES_H

#include "cprof/runtime.h"

/* [collector] The runtime.h resolve() entry. The strings stay until the next call. */
int names_resolve(const struct cprof_frame *frame, struct cprof_function *function);

#endif
