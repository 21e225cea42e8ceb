/*
 * The names of the kernel's functions by their addresses, from /proc/kallsyms. It is read at
 * the first lookup and not again: some 50 ms, and some 4 MB of the budget for the kernel of a
 * distribution. Where a quarter of it has no room for all of them none is kept: the last would
 * be taken for those behind it. What the kernel loads later is not known, and nothing is where
 * it hides its addresses (kptr_restrict).
 *
 * Belongs to the collector's thread. Zero-initialised but for the budget.
 */
#ifndef CPROF_SYMBOL_KALLSYMS_H
#define CPROF_SYMBOL_KALLSYMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"

/* A function: "vfs_read", and the module that it is of: "nfsv4"; "": the kernel itself. Both
 * lie in the text that was read. */
struct kallsyms_line {
    uint64_t address;
    const char *name, *module;
    size_t name_length, module_length;
};

/* Reads "ffffffff81409dd0 T vfs_read\t[nfsv4]". False: it is no function, or its address is
 * hidden. */
bool kallsyms_read(const char *text, size_t length, struct kallsyms_line *line);

struct kallsyms_entry {
    uint64_t address;
    uint32_t name; /* where in `names`: NAME, NUL, MODULE, NUL */
};

struct kallsyms {
    struct budget *budget;
    struct kallsyms_entry
        *entries; /* by address; of equal ones the first in the file is first */
    size_t count, capacity;
    char *names;
    size_t used, room; /* bytes of names */
    bool read, full;
};

/* Adds what a piece of the file says; an unfinished last line is left: how many bytes were
 * taken. */
size_t kallsyms_add(struct kallsyms *kallsyms, const char *text, size_t length);

/* Puts what was added in order; nothing may be added any more. */
void kallsyms_sort(struct kallsyms *kallsyms);

/* The function that lies there, in strings that are good until kallsyms_free(). False: not
 * known. */
bool kallsyms_find(struct kallsyms *kallsyms, uintptr_t address, const char **name,
                   const char **module);

void kallsyms_free(struct kallsyms *kallsyms);

#endif
