/*
 * Names of code that a just-in-time compiler has registered with debuggers, as LLVM's does for
 * numba, PostgreSQL and others: GDB's JIT interface, described in GDB's manual. The list's
 * head is the object __jit_debug_descriptor of the library that compiles. Each entry has an
 * object file in memory, whose sections say where they were loaded.
 *
 * The libraries are searched when the first name is wanted, each once. What was registered
 * since is read at a lookup; where functions overlap the later one counts, since code memory is
 * used again. The list may change while it is read: memory is read with a system call that
 * fails where a load would crash, and nothing of it is trusted.
 *
 * In memory are 32 bytes and the name for each function, drawn from the budget. When that, or
 * JIT_FUNCTIONS_MAX, is spent, later functions are not known. Collector only.
 */
#ifndef CPROF_SYMBOL_JIT_OBJECTS_H
#define CPROF_SYMBOL_JIT_OBJECTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"
#include "unwind/modules.h"

#define JIT_LISTS_MAX 4
#define JIT_FUNCTIONS_MAX (1u << 16)

struct jit_function {
    uint64_t start;
    uint32_t size;
    uint32_t age; /* the later, the greater */
    char *name;   /* owned; the linkage name */
};

struct jit_objects {
    struct budget *budget;
    uint64_t map;      /* the serial of the last map that was searched */
    uint64_t searched; /* the greatest serial of its modules */
    struct jit_list {
        uintptr_t head;
        uint64_t newest; /* its first entry when it was read last */
    } lists[JIT_LISTS_MAX];
    size_t list_count;
    struct jit_function *functions; /* by start; of equal ones the later is last */
    size_t count, capacity;
    uint32_t age;
};

void jit_objects_init(struct jit_objects *objects, struct budget *budget);
void jit_objects_free(struct jit_objects *objects);

/* The linkage name of the code at an address, until the next call; NULL: not known. The lists
 * begin in modules of the map. */
const char *jit_objects_find(struct jit_objects *objects, const struct module_map *map,
                             uintptr_t address);

#endif
