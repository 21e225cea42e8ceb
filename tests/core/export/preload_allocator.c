/* An allocator to put in front of libc's with LD_PRELOAD, as services do with jemalloc. Memory
 * that another allocator gave out is fatal to it, as it is to those. */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MARK UINT64_C(0x6f757220626c6f63)
#define EXPORT __attribute__((visibility("default")))

extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *memory);

/* Stands right before what is given out. */
struct head {
    void *start; /* of libc's block */
    size_t size;
    uint64_t mark, unused;
};

EXPORT void *memalign(size_t alignment, size_t size)
{
    if (alignment < sizeof(struct head))
        alignment = sizeof(struct head);
    char *start = size < SIZE_MAX / 2 ? __libc_memalign(alignment, alignment + size) : NULL;
    if (start == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    struct head *head = (struct head *)(void *)(start + alignment) - 1;
    *head = (struct head){.start = start, .size = size, .mark = MARK};
    return head + 1;
}

EXPORT void free(void *memory)
{
    static const char message[] = "free() of memory from another allocator\n";
    if (memory == NULL)
        return;
    struct head *head = (struct head *)memory - 1;
    if (head->mark != MARK) {
        (void)!write(STDERR_FILENO, message, sizeof message - 1);
        _exit(99);
    }
    head->mark = 0;
    __libc_free(head->start);
}

EXPORT void *malloc(size_t size)
{
    return memalign(sizeof(struct head), size);
}

EXPORT void *calloc(size_t count, size_t size)
{
    size_t total;
    void *memory = __builtin_mul_overflow(count, size, &total) ? NULL : malloc(total);
    return memory ? memset(memory, 0, total) : NULL;
}

EXPORT void *realloc(void *memory, size_t size)
{
    void *moved = malloc(size);
    if (memory == NULL || moved == NULL)
        return moved;
    size_t before = ((struct head *)memory - 1)->size;
    memcpy(moved, memory, before < size ? before : size);
    free(memory);
    return moved;
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

EXPORT int posix_memalign(void **memory, size_t alignment, size_t size)
{
    *memory = memalign(alignment, size);
    return *memory ? 0 : ENOMEM;
}

EXPORT size_t malloc_usable_size(void *memory)
{
    return memory ? ((struct head *)memory - 1)->size : 0;
}
