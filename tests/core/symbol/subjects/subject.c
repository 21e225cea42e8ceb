/* A library to name: an exported function, a static one, one that is inlined, a PLT call, and
 * one within another as assemblers make them. */
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

__asm__(".text\n"
        ".globl subject_outer\n.type subject_outer, %function\n"
        ".globl subject_inner\n.type subject_inner, %function\n"
        "subject_outer:\n.cfi_startproc\nnop\nnop\nnop\nnop\n"
        "subject_inner:\nnop\nnop\nnop\nnop\n.size subject_inner, . - subject_inner\n"
        "nop\nnop\nnop\nnop\nret\n.cfi_endproc\n.size subject_outer, . - subject_outer\n");
