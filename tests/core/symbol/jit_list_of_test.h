/* GDB's list of compiled objects, as a program that compiles has it; see GDB's manual. */
#ifndef CPROF_TESTS_SYMBOL_JIT_LIST_OF_TEST_H
#define CPROF_TESTS_SYMBOL_JIT_LIST_OF_TEST_H

#include <stdint.h>

struct jit_entry {
    struct jit_entry *next, *former;
    const void *object;
    uint64_t size;
};

struct {
    uint32_t version, action;
    struct jit_entry *relevant, *first;
} __jit_debug_descriptor = {.version = 1};

#endif
