/*
 * Memory protection keys (pkeys(7)). The kernel begins a signal handler without access to
 * memory under any key but the first, whatever its thread may do; a hook runs with its thread's
 * rights. V8 keeps compiled code under a key of its own, which a walk reads. So a take gives
 * itself the right to read, not to write, what is under any key, and takes it back.
 *
 * AArch64 has no such keys in the kernels that we know (its permission overlays are of 6.12).
 *
 * Handler code.
 */
#ifndef CPROF_SAMPLE_KEYS_H
#define CPROF_SAMPLE_KEYS_H

#include <stdbool.h>
#include <stdint.h>

/* Does the kernel use them? keys_detect() asks the processor, in ordinary code before the first
 * take: where it does not, the instructions are not allowed. */
extern bool keys_in_use;
void keys_detect(void);

#if defined(__x86_64__)

/* Two bits a key, the lower for "no access", the higher for "no writing". */
#define KEYS_NO_ACCESS UINT32_C(0x55555555)
#define KEYS_NO_WRITING UINT32_C(0xaaaaaaaa)

static inline uint32_t keys_rights(void)
{
    uint32_t rights, zero;
    __asm__ volatile(".byte 0x0f, 0x01, 0xee" : "=a"(rights), "=d"(zero) : "c"(0)); /* rdpkru */
    return rights;
}

static inline void keys_set(uint32_t rights)
{
    __asm__ volatile(".byte 0x0f, 0x01, 0xef" /* wrpkru */
                     :
                     : "a"(rights), "c"(0), "d"(0)
                     : "memory");
}

#else

#define KEYS_NO_ACCESS 0
#define KEYS_NO_WRITING 0

static inline uint32_t keys_rights(void)
{
    return 0;
}

static inline void keys_set(uint32_t rights)
{
    (void)rights;
}

#endif

/* Everything may be read now; what the rights were. */
static inline uint32_t keys_open(void)
{
    if (!keys_in_use)
        return 0;
    uint32_t before = keys_rights();
    keys_set((before | (before & KEYS_NO_ACCESS) << 1) & KEYS_NO_WRITING);
    return before;
}

static inline void keys_close(uint32_t before)
{
    if (keys_in_use)
        keys_set(before);
}

#endif
