/* A library to name: an exported function, a static one, one that is inlined, a PLT call. */
#include <stdlib.h>

static inline __attribute__((always_inline)) int inlined(int x)
{
    return x * 3 + abs(x - 7);
}

static __attribute__((noinline)) int hidden(int x)
{
    __asm__ volatile("");
    return inlined(x) + 1;
}

int subject_exported(int x)
{
    void *memory = calloc(1, (size_t)x + 1); /* through the PLT */
    free(memory);
    return hidden(x) + (memory != NULL);
}

int (*subject_hidden(void))(int)
{
    return hidden;
}
