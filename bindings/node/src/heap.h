/*
 * Handler code, and the naming's, and that of looks: reading V8's heap objects. Who may read
 * another thread's heap defines HEAP_VIEW first (heap_view.h). A tagged word is a small integer
 * (bit 0 clear, value in the upper half) or a pointer plus 1. Whether memory can be read at all
 * is the caller's business.
 */
#ifndef CPROF_NODE_HEAP_H
#define CPROF_NODE_HEAP_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "cpu.h"
#include "layout.h"

#ifdef HEAP_VIEW
#include "heap_view.h"
#else
static inline void heap_load(uintptr_t address, void *to, size_t size)
{
    memcpy(to, (const void *)address, size);
}
#endif

static inline uintptr_t heap_word(uintptr_t object, int offset)
{
    uintptr_t value;
    heap_load(object - 1 + (uintptr_t)offset, &value, sizeof value);
    return value;
}

static inline uint32_t heap_int(uintptr_t object, int offset)
{
    uint32_t value;
    heap_load(object - 1 + (uintptr_t)offset, &value, sizeof value);
    return value;
}

/* A weak reference (tag 3) as a strong one. */
static inline uintptr_t heap_strong(uintptr_t word)
{
    return word & ~(uintptr_t)2;
}

static inline bool heap_is_object(uintptr_t word)
{
    return (word & 7) == 1 && word > 4096 && word < CPU_ADDRESS_LIMIT;
}

static inline bool heap_is_smi(uintptr_t word)
{
    return (uint32_t)word == 0;
}

static inline int32_t heap_smi(uintptr_t word)
{
    return (int32_t)(word >> 32);
}

static inline int heap_type(uintptr_t object)
{
    uint16_t type;
    uintptr_t map = heap_word(object, 0);
    heap_load(map - 1 + (uintptr_t)layout.map_instance_type, &type, sizeof type);
    return type;
}

/* A tagged pointer to an object of that type; for memory that is known to be readable. */
static inline bool heap_has_type(uintptr_t word, int type)
{
    return heap_is_object(word) && heap_type(word) == type;
}

#endif
