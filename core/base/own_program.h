/*
 * The file of the program that this process runs, as the kernel says it; " (deleted)" may stand
 * behind it. Any thread, also when the main one has ended.
 */
#ifndef CPROF_BASE_OWN_PROGRAM_H
#define CPROF_BASE_OWN_PROGRAM_H

#include <stddef.h>

/* Writes its path and a zero: the length, or 0 for none. `size` is that of `path`. */
size_t own_program(char *path, size_t size);

#endif
