#include "heap_view.h"

#include <stdlib.h>

#include "cprof/asleep.h"

enum { BYTES_MAX = 32 << 20 }; /* of one text */

_Thread_local const struct cprof_sleeper *heap_sleeper;

/* What heap_bytes() has copied, the last first. */
struct copy {
    struct copy *next;
    uintptr_t address;
    size_t size;
    char bytes[];
};
static _Thread_local struct copy *copies;

void heap_view_begin(const struct cprof_sleeper *sleeper)
{
    heap_sleeper = sleeper;
}

void heap_view_end(void)
{
    heap_sleeper = NULL;
    while (copies != NULL) {
        struct copy *next = copies->next;
        free(copies);
        copies = next;
    }
}

bool heap_is_sound(void)
{
    return heap_sleeper == NULL || heap_sleeper->stood(heap_sleeper);
}

bool heap_copy(uintptr_t address, void *to, size_t size)
{
    if (heap_sleeper->read(heap_sleeper, address, to, size))
        return true;
    memset(to, 0, size);
    return false;
}

const void *heap_bytes(uintptr_t address, size_t size)
{
    if (heap_sleeper == NULL)
        return (const void *)address;
    for (const struct copy *at = copies; at != NULL; at = at->next)
        if (at->address == address && at->size >= size)
            return at->bytes;
    struct copy *copy = size <= BYTES_MAX ? malloc(sizeof *copy + size) : NULL;
    if (copy == NULL)
        return NULL;
    *copy = (struct copy){.next = copies, .address = address, .size = size};
    copies = copy;
    return heap_copy(address, copy->bytes, size) ? copy->bytes : NULL;
}
