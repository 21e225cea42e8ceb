/*
 * Finds the separate debug file of a stripped module, where distributions and objcopy put it:
 * ROOT/.build-id/xx/yyyy.debug, and for a .gnu_debuglink NAME beside the module, in .debug/
 * there, and under ROOT. What is found is taken only if its build id equals the module's, or,
 * where one of the two has none, if its CRC is the link's. Collector only.
 */
#ifndef CPROF_SYMBOL_DEBUGFILE_H
#define CPROF_SYMBOL_DEBUGFILE_H

#include "symbol/elf.h"

#define DEBUGFILE_ROOT "/usr/lib/debug"

/* Opens the debug file of `elf`, whose path is `path`. 0, or -ENOENT. */
int debugfile_open(const struct elf *elf, const char *path, const char *root,
                   struct elf *debug);

#endif
