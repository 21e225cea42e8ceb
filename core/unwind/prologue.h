/*
 * What a function's first instructions say of its frame, for functions that nobody describes:
 * compilers leave out the unwind information of what throws nothing (LLVM's `nounwind`, as
 * numba has it). They push registers and move the stack pointer once, and keep to that until
 * they return. Where one does otherwise (a prologue that is not at its begin, pushed arguments)
 * this is wrong: who uses it makes sure of what it leads to. x86-64 only; collector only.
 */
#ifndef CPROF_UNWIND_PROLOGUE_H
#define CPROF_UNWIND_PROLOGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "unwind/cfi.h"

enum {
    PROLOGUE_MAX = 64,               /* bytes of code that are read */
    PROLOGUE_SAYS = 8 * PROLOGUE_MAX /* at most so many for it */
};

/* Makes an entry for the code [start, limit), whose first `size` bytes are `code`; its
 * instructions lie in `says`, which has room for PROLOGUE_SAYS bytes and stays with it. */
bool prologue_read(uintptr_t start, uintptr_t limit, const uint8_t *code, size_t size,
                   uint8_t *says, struct cfi_entry *entry);

#endif
