/*
 * Functions of the kernel that come by name and without an address, as the kernel tells of a
 * thread that sleeps. Each gets an address that stands for it in a sample, where no processor
 * has code: neither a program nor a kernel lies there.
 *
 * The first KERNEL_NAMES_MAX are kept apart for the life of the process; all others share one
 * address. Belongs to the collector's thread.
 */
#ifndef CPROF_SYMBOL_KERNEL_NAMES_H
#define CPROF_SYMBOL_KERNEL_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KERNEL_NAMES_MAX 1024
#define KERNEL_NAME_SIZE 64 /* with the NUL; longer names are cut */

/* The upper half of all addresses is the kernel's, but for the page of old system calls that a
 * program may run (vsyscall). */
static inline bool kernel_has(uintptr_t address)
{
    const uintptr_t upper = UINTPTR_MAX / 2 + 1, page = (uintptr_t)0xffffffffff600000;
    return address >= upper && address - page >= 4096;
}

/* The address that stands for the function. */
uintptr_t kernel_name_address(const char *name, size_t length);

/* The function for which it stands; "": one of those that share it. NULL: it stands for none.
 */
const char *kernel_name_at(uintptr_t address);

#endif
