/*
 * Walking a copy of a stack with libunwind, outside of handlers: for frames whose unwind
 * information says more than our rules express (DWARF expressions).
 *
 * The implementation lies in a shared module of its own, libcprof_unwind.so: a process that
 * never needs it never loads libunwind, and libunwind's `backtrace` and `_Unwind_*` stay out
 * of the host's reach. Only its remote interface is used, over the copy and with accessors of
 * ours, so none of its locks can meet the loader's.
 *
 * One thread at a time.
 */
#ifndef CPROF_UNWIND_REMOTE_H
#define CPROF_UNWIND_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "unwind/walk.h"

#define UNWIND_LIBRARY_VERSION 1 /* of this header: core and module must agree */

/* A piece of a stack from the stack pointer on, and the registers there by DWARF number. */
struct stack_copy {
    const uint64_t *registers;
    const uint8_t *bytes;
    size_t size;
};

/* The code around a pc, as libunwind wants to know it. */
struct remote_code {
    uint64_t start, limit;
    uint64_t header; /* .eh_frame_hdr */
    uint64_t pairs;  /* its search table */
    size_t pair_count;
};

/* What the walk asks for, besides the stack. */
struct remote_memory {
    bool (*code)(void *closure, uint64_t pc, struct remote_code *code);
    bool (*read)(void *closure, uint64_t address, uint64_t *word);
    void *closure;
};

/* What the module exports, as the one symbol `cprof_unwind`. */
struct unwind_library {
    unsigned version; /* UNWIND_LIBRARY_VERSION */
    /* Innermost first; *complete tells whether the thread's first function was reached. */
    size_t (*walk)(const struct stack_copy *stack, const struct remote_memory *memory,
                   struct native_frame *frames, size_t capacity, bool *complete);
};

/* The module (own_module.h), which is loaded on a thread of its own from the first call on: a
 * dlopen() waits for the constructors of whatever else is being loaded, and that may take long.
 * 0; -EAGAIN: not yet; -ENOENT: it can't be had, one line has said so. */
int unwind_library(const char *directory, const struct unwind_library **library);

/* [start] What could not be had is looked for again. */
void unwind_library_retry(void);

/* [child of a fork] A thread that was loading it is not here. */
void unwind_library_fork_child(void);

/* [collector] Walks a copied stack through the modules of a snapshot. */
size_t remote_walk(const struct unwind_library *library, const struct module_map *map,
                   const struct stack_copy *stack, struct native_frame *frames, size_t capacity,
                   bool *complete);

#endif
