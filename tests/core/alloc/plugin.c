/* A library that allocates: by every function there is for that. Its calls go through import
 * slots of its own. Each function is noinline and no tail call, to be a frame of the profile.
 */
#define _GNU_SOURCE
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* C++'s operators, by their names in the Itanium ABI. */
void *_Znwm(size_t size);
void *_Znam(size_t size);
void _ZdlPv(void *block);
void _ZdaPv(void *block);

#define EXPORTED __attribute__((visibility("default"), noinline))
static volatile unsigned after;

#define ALLOCATOR(name, call)                                                                  \
    EXPORTED void *name(size_t size)                                                           \
    {                                                                                          \
        void *block = (call);                                                                  \
        after++;                                                                               \
        return block;                                                                          \
    }

static void *store(size_t size)
{
    void *block = NULL;
    return posix_memalign(&block, 64, size) == 0 ? block : NULL;
}

ALLOCATOR(by_malloc, malloc(size))
ALLOCATOR(by_calloc, calloc(size / 16, 16))
ALLOCATOR(by_realloc, realloc(malloc(16), size))
ALLOCATOR(by_reallocarray, reallocarray(NULL, size / 16, 16))
ALLOCATOR(by_posix_memalign, store(size))
ALLOCATOR(by_aligned_alloc, aligned_alloc(64, size))
ALLOCATOR(by_memalign, memalign(64, size))
ALLOCATOR(by_new, _Znwm(size))
ALLOCATOR(by_new_array, _Znam(size))

EXPORTED void by_free(void *block)
{
    free(block);
    after++;
}

EXPORTED void by_delete(void *block)
{
    _ZdlPv(block);
    after++;
}

EXPORTED void by_delete_array(void *block)
{
    _ZdaPv(block);
    after++;
}

/* Grows and shrinks a block, and frees it. */
EXPORTED void churn(unsigned *random)
{
    char *block = NULL;
    for (int i = 0; i < 8; i++) {
        *random = *random * 1664525 + 1013904223;
        size_t size = 16 + (*random >> 8) % 3000;
        char *grown = realloc(block, size);
        if (grown == NULL)
            break;
        block = grown;
        memset(block, (int)i, size);
    }
    free(block);
    after++;
}

/* What the slot for malloc holds. */
EXPORTED uintptr_t malloc_here(void)
{
    return (uintptr_t)malloc;
}
