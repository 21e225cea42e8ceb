/*
 * Import slots: where the modules of a process keep the addresses of the functions that they
 * call in others (the GOT). A slot that holds the address of a function gets that of our own in
 * its place, and its module calls ours from then on.
 *
 * Only slots that hold the very function that our own module would call are changed. What is
 * bound to something else, such as an allocator of the module's own or the stub of a program at
 * a fixed address, and what the loader has not bound yet, stays as it is: a block would be
 * freed by who has not allocated it. Changing back looks for our functions in the modules that
 * are there then, so nothing is remembered that could have been unmapped; and one of another's
 * in the slot stays. Our own module is never changed.
 *
 * All of it happens while dl_iterate_phdr() holds the loader's lock, so no module goes
 * meanwhile. Nothing is allocated. Pages that are read-only since they were relocated are
 * writable for the moment, and read-only again. The file formats: ELF, its gABI and the
 * processors' supplements.
 *
 * Any thread where the loader's lock can be had, which keeps them apart; an original is set by
 * one at a time.
 */
#ifndef CPROF_PATCH_SLOTS_H
#define CPROF_PATCH_SLOTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cprof/imports.h"

/* A function whose original is 0 is not changed. */

struct slots_found {
    size_t changed;
    bool unbound; /* some are not bound yet: look again later */
};

/* What our own module calls by that name; through the stub of a program at a fixed address, if
 * its slot has that, what the program calls. 0: it is not bound. */
uintptr_t slots_own(const char *name);

/* Fills in originals that are 0, of functions that lie in the module of `beside`, by what
 * others' slots hold. */
void slots_learn_beside(uintptr_t beside, struct cprof_import *functions, size_t count);

/* Puts ours where the originals are, while it is `wanted`: who takes that away and then
 * restores can be sure that none is put in any more. */
struct slots_found slots_change(const struct cprof_import *functions, size_t count,
                                const atomic_bool *wanted);
/* Puts the originals where ours are. */
void slots_restore(const struct cprof_import *functions, size_t count);

#endif
