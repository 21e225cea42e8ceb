/*
 * Functions that a module of the process imports from others, led to a binding's own: for waits
 * and events for which a runtime has no hook of its own. What the module's slots hold that is
 * another's stays (patch/slots.h, which does it).
 *
 * Any thread where the loader's lock can be had. Not while a function is under way: one that is
 * called at the end may still be on its way through ours.
 */
#ifndef CPROF_IMPORTS_H
#define CPROF_IMPORTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The original is the address of what the binding itself imports by that name, taken in code.
 */
struct cprof_import {
    const char *name; /* of the symbol */
    uintptr_t ours;
    uintptr_t original;
};

/* In the module that `inside` is an address of, also where the loader has not bound them yet.
 * False: it does not import one of them, or that is bound to something else; what has been
 * changed till then stays. */
bool cprof_imports_lead(uintptr_t inside, struct cprof_import *imports, size_t count);

/* Puts the originals back. */
void cprof_imports_restore(struct cprof_import *imports, size_t count);

#endif
