/* What the signal handler reads of the interrupted thread's contextvars context. */
#ifndef CPROF_PYTHON_WALK_CONTEXT_H
#define CPROF_PYTHON_WALK_CONTEXT_H

#include <stdbool.h>

#include "cprof/runtime.h"

/* Learns what the handler needs and the interpreter doesn't export: the types of the nodes of
 * a context's mapping. False when this interpreter can't be read. [GIL] */
bool walk_context_enable(void);

struct _typeobject; /* PyTypeObject */
extern const struct _typeobject *walk_bitmap_type, *walk_array_type;

/* [handler] The context() entry of struct cprof_runtime. */
bool walk_context(const struct cprof_interrupted *thread, struct cprof_context *context);

#endif
