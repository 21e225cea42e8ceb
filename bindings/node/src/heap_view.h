/*
 * Whose heap is read: the calling thread's own, where it lies, or that of a thread that sleeps,
 * through copies (cprof/asleep.h). The code that names functions reads both.
 *
 * What of a sleeper's can't be read is zeroes. It may be torn: who keeps what was made of it
 * asks heap_is_sound() first.
 */
#ifndef CPROF_NODE_HEAP_VIEW_H
#define CPROF_NODE_HEAP_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct cprof_sleeper;

/* NULL: one's own. */
extern _Thread_local const struct cprof_sleeper *heap_sleeper;

/* From here on the calling thread reads the sleeper's heap; then its own again. */
void heap_view_begin(const struct cprof_sleeper *sleeper);
void heap_view_end(void);

/* False: the sleeper ran since the look began. */
bool heap_is_sound(void);

/* Of a sleeper. False, and zeroes: it can't be read. */
bool heap_copy(uintptr_t address, void *to, size_t size);

static inline void heap_load(uintptr_t address, void *to, size_t size)
{
    if (heap_sleeper == NULL)
        memcpy(to, (const void *)address, size);
    else
        (void)heap_copy(address, to, size);
}

/* Bytes of the heap, good until heap_view_end(). NULL: they can't be read, or are too many. */
const void *heap_bytes(uintptr_t address, size_t size);

#endif
