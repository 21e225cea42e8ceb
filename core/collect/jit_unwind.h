/*
 * How code is unwound that a just-in-time compiler has registered with debuggers
 * (jit_objects.h): each object's .eh_frame lies where its section header says, and is what the
 * compiler gives to __register_frame() for C++'s exceptions. What walks met without a table is
 * looked for there, and compiled (unwind/generated.h).
 *
 * The C++ runtime's own list is not asked. _Unwind_Find_FDE() reads memory that another thread
 * may be freeing (libgcc since 13), or holds a lock that a fork would leave locked in the child
 * (before): either can end the host. Here memory is read with a system call that fails where a
 * load would crash, and what was read counts only if its object was registered before and
 * after. Collector only.
 */
#ifndef CPROF_COLLECT_JIT_UNWIND_H
#define CPROF_COLLECT_JIT_UNWIND_H

#include <stdbool.h>

#include "symbol/jit_objects.h"
#include "unwind/modules.h"

/* Makes tables for what was met since the last call. True: there is a new snapshot. */
bool jit_unwind(struct jit_objects *objects, struct modules *modules);

#endif
