/*
 * seen() and sure() for another thread's memory: both copy, through the reader that a look
 * brings (cprof/asleep.h). A copy is good until COPIES further ones have been made.
 */
#ifndef CPROF_PYTHON_COPIES_H
#define CPROF_PYTHON_COPIES_H

#include <stddef.h>
#include <stdint.h>

#include "cprof/asleep.h"

enum { COPIES = 32 /* more than one look into a context takes */, COPY_SIZE = 1024 };

struct readable {
    const struct cprof_sleeper *sleeper;
    unsigned next;
    _Alignas(16) unsigned char copies[COPIES][COPY_SIZE];
};

static inline void copies_begin(struct readable *memory, const struct cprof_sleeper *sleeper)
{
    memory->sleeper = sleeper;
    memory->next = 0;
}

static inline const void *seen(struct readable *memory, const void *address, size_t size)
{
    void *copy = memory->copies[memory->next++ % COPIES];
    const uintptr_t from = (uintptr_t)address;

    if (from % sizeof(void *) != 0 || size > COPY_SIZE ||
        !memory->sleeper->read(memory->sleeper, from, copy, size))
        return NULL;
    return copy;
}

static inline const void *sure(struct readable *memory, const void *address, size_t size)
{
    return seen(memory, address, size);
}

#endif
