/*
 * Leaves code that was made at run time: by what it says of itself, or by what the stack above
 * it confirms. Inside the walker only. Signal-safe.
 */
#ifndef CPROF_UNWIND_SEARCH_GENERATED_H
#define CPROF_UNWIND_SEARCH_GENERATED_H

#include "unwind/walk_inside.h"

/* Code that was made at run time is left by its table; without one it is read, then taken to
 * keep a frame pointer, then the stack is searched. */
bool search_generated(struct walk *walk);

#endif
