/*
 * Shared modules of our own that are loaded on first need: what they are linked with stays out
 * of a process that does not need it, and its symbols out of the host's reach.
 *
 * Never unloaded. Any thread may call; not signal-safe, and takes the loader's lock.
 */
#ifndef CPROF_BASE_OWN_MODULE_H
#define CPROF_BASE_OWN_MODULE_H

#include <stddef.h>

/* The address of the one symbol of the module `file` in `directory` (NULL: by the loader's
 * search). `flags` go to dlopen() besides RTLD_NOW and RTLD_LOCAL. NULL with one line in
 * `error`; a symbol that is missing means a file that belongs to another version. */
const void *own_module_load(const char *directory, const char *file, const char *symbol,
                            int flags, char *error, size_t error_size);

#endif
