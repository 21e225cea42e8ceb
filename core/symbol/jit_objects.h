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

/* A section of code of an object, and where the object's unwind information was loaded. */
struct jit_code {
    uint64_t start, limit;
    uint64_t eh_frame, eh_frame_size; /* 0: none */
    uint64_t entry, object, size;     /* of the list: what its entry is, and says */
    uint32_t age;
};

struct jit_objects {
    struct budget *budget;
    uint64_t map;      /* the serial of the last map that was searched */
    uint64_t searched; /* the greatest serial of its modules */
    struct jit_list {
        uintptr_t head;
        uint64_t newest; /* its first entry when it was read last, */
        uint64_t proof;  /* and what that was known by */
    } lists[JIT_LISTS_MAX];
    size_t list_count;
    struct jit_function *functions; /* by start; of equal ones the later is last */
    size_t count, capacity;
    struct jit_code *codes;
    size_t code_count, code_capacity;
    uint32_t age;
    uint64_t rest_until_ns; /* before that what is registered is not read as a whole again */
};

void jit_objects_init(struct jit_objects *objects, struct budget *budget);
void jit_objects_free(struct jit_objects *objects);

/* The linkage name of the code at an address, until the next call; NULL: not known. The lists
 * begin in modules of the map. */
const char *jit_objects_find(struct jit_objects *objects, const struct module_map *map,
                             uintptr_t address);

/* The function at an address, as the lists were when they were read last. */
const struct jit_function *jit_objects_function(const struct jit_objects *objects,
                                                uintptr_t address);

/* What is registered at one moment. */
struct jit_live {
    struct jit_entry_copy *entries;
    size_t count;
};

/* False: nothing is, or no memory. */
bool jit_live_read(struct jit_live *live, struct jit_objects *objects,
                   const struct module_map *map);
void jit_live_free(struct jit_live *live);

/* The latest code at an address whose object is registered, as the object says it now. */
bool jit_live_code(const struct jit_live *live, struct jit_objects *objects, uintptr_t address,
                   struct jit_code *code);

/* Is the same registered still? */
bool jit_live_is_same(const struct jit_live *live, const struct jit_objects *objects);

#endif
