/* Handler code. Asks the kernel whether memory can be read, without a fault. */
#ifndef CPROF_PYTHON_READABLE_H
#define CPROF_PYTHON_READABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cprof/readable.h"

enum { READABLE_PAGES = 16 };

/* The pages that this walk has already found readable. Consecutive frames share pages, so a
 * walk asks about two or three. */
struct readable {
    uintptr_t pages[READABLE_PAGES];
    unsigned next;
};

static inline bool readable_page(struct readable *readable, uintptr_t page)
{
    for (int i = 0; i < READABLE_PAGES; i++)
        if (readable->pages[i] == page)
            return true;
    if (!cprof_is_readable(page))
        return false;
    readable->pages[readable->next++ % READABLE_PAGES] = page;
    return true;
}

/* True when [address, address + size) can be read; size is at most a page. */
static inline bool readable(struct readable *readable, const void *address, size_t size)
{
    const uintptr_t mask = ~(uintptr_t)4095, first = (uintptr_t)address;

    if (first < 4096 || first % sizeof(void *) != 0 || first > UINTPTR_MAX / 2)
        return false;
    return readable_page(readable, first & mask) &&
           ((first & mask) == ((first + size - 1) & mask) ||
            readable_page(readable, (first + size - 1) & mask));
}

/* What the walks of walk_chain.h read with: the memory as it lies, if it can be read; */
static inline const void *seen(struct readable *memory, const void *address, size_t size)
{
    return readable(memory, address, size) ? address : NULL;
}

/* or is known to be there, as it is the calling thread's own. (copies.h has the same for
 * another thread's.) */
__attribute__((returns_nonnull)) static inline const void *
sure(struct readable *memory, const void *address, size_t size)
{
    (void)memory, (void)size;
    return address;
}

#endif
