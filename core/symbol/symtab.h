/*
 * One module's functions, compact: 12 bytes each, sorted by address, in memory from the first
 * need until symtab_free(), drawn from the budget. Names stay in the file and are read when
 * asked for; where a function has several, the choice is made then (symtab_find).
 *
 * Collector only. Symbols beyond 4 GiB from the file's first byte are left out.
 */
#ifndef CPROF_SYMBOL_SYMTAB_H
#define CPROF_SYMBOL_SYMTAB_H

#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"
#include "symbol/elf.h"
#include "symbol/range.h"

struct symtab_function {
    uint32_t offset; /* vaddr - base */
    uint32_t size;
    uint32_t name; /* in the string table */
};

struct symtab {
    struct budget *budget;
    struct symtab_function *functions;
    size_t count;
    uint64_t base;                     /* vaddr */
    uint64_t names_offset, names_size; /* of the string table in the file */
};

/* Reads the functions of a file: .symtab, or .dynsym where it was stripped. 0, -ENOENT when
 * there is no such table, -ENOMEM when memory or the budget does not allow it. */
int symtab_load(struct symtab *symtab, const struct elf *elf, struct budget *budget);
void symtab_free(struct symtab *symtab);

/* The function that covers a vaddr; `elf` is the file it was loaded from. Of several names
 * the one a person would use: few leading underscores, short. 0, or -ENOENT; `range` is
 * narrowed to the addresses around for which this is so. */
int symtab_find(const struct symtab *symtab, const struct elf *elf, uint64_t vaddr, char *name,
                size_t capacity, struct code_range *range);

#endif
