/*
 * What a file says of code that has no symbol: the function's bounds out of .eh_frame_hdr's
 * search table, so that all addresses of one nameless function get one name, and the function
 * that a PLT stub jumps to. Nothing is kept: both are read from the file when asked.
 * Collector only.
 */
#ifndef CPROF_SYMBOL_CODEMAP_H
#define CPROF_SYMBOL_CODEMAP_H

#include <stddef.h>
#include <stdint.h>

#include "symbol/elf.h"
#include "symbol/range.h"

/* The start of the function that covers a vaddr; `range` is narrowed to the function. 0, or
 * -ENOENT, and the range is that address alone. */
int codemap_start(const struct elf *elf, uint64_t vaddr, uint64_t *start,
                  struct code_range *range);

/* If vaddr is in a PLT stub, the name of the symbol it jumps to. 0, or -ENOENT. Of code that is
 * in such a section the range is narrowed to the stub. */
int codemap_stub(const struct elf *elf, uint64_t vaddr, char *name, size_t capacity,
                 struct code_range *range);

#endif
