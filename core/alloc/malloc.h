/*
 * The hooks of malloc and what belongs to it, in the import slots of all modules but our own
 * (patch/slots.h): malloc, calloc, realloc, reallocarray, the aligned forms, free. C++'s
 * operators come to malloc from libstdc++; where an allocator brings its own (jemalloc,
 * tcmalloc, mimalloc), they have hooks as well. All originals lie in the module of the malloc
 * that we call.
 *
 * A hook counts and jumps on to the original. That is not asked of dlsym(): the address that it
 * gives may be a stub of the program that leads back to us.
 * What libc allocates within itself is not seen, nor what a module allocates between its
 * loading and malloc_follow(). No entry in a table follows from an address: a free that nobody
 * sees is at worst a block that stays listed until its address is listed again.
 */
#ifndef CPROF_ALLOC_MALLOC_H
#define CPROF_ALLOC_MALLOC_H

#include <stdbool.h>

/* [start] False: no module has a slot that can be changed. */
bool malloc_hook(void);
/* [start] */
void malloc_unhook(void);

/* [collector] Modules have come or gone, or some slots may be bound by now. Where the loader's
 * lock can be had. */
void malloc_follow(bool modules_changed);

#endif
