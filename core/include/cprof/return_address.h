/*
 * A return address as it was before it was signed. Programs for AArch64 may sign theirs where
 * they store them (PAC): the upper bits that no address uses hold the signature, wherever the
 * code's unwind information says so (the augmentation 'B', DW_CFA_AARCH64_negate_ra_state) or
 * not, as in code that a JIT has made. How many those are is the system's to say, and the
 * processor knows: xpaclri clears what is a signature under either key, and leaves all else as
 * it is. On processors that can't sign it does nothing.
 */
#ifndef CPROF_RETURN_ADDRESS_H
#define CPROF_RETURN_ADDRESS_H

#include <stdint.h>

static inline uintptr_t cprof_return_address(uintptr_t address)
{
#ifdef __aarch64__
    register uintptr_t x30 __asm__("x30") = address;
    __asm__("hint #7" : "+r"(x30)); /* xpaclri, for assemblers that do not know it */
    return x30;
#else
    return address;
#endif
}

#endif
