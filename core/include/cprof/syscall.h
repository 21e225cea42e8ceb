/*
 * A system call without the C library: the kernel's answer, a result or a negative errno, and
 * errno itself stays untouched. So signal handlers may make it.
 */
#ifndef CPROF_SYSCALL_H
#define CPROF_SYSCALL_H

#include <stdint.h>
#include <sys/syscall.h>

#if defined(__x86_64__)

static inline long cprof_syscall(long number, uintptr_t a, uintptr_t b, uintptr_t c,
                                 uintptr_t d, uintptr_t e, uintptr_t f)
{
    long result;
    register uintptr_t r10 __asm__("r10") = d;
    register uintptr_t r8 __asm__("r8") = e;
    register uintptr_t r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

#elif defined(__aarch64__)

static inline long cprof_syscall(long number, uintptr_t a, uintptr_t b, uintptr_t c,
                                 uintptr_t d, uintptr_t e, uintptr_t f)
{
    register long x8 __asm__("x8") = number;
    register uintptr_t x0 __asm__("x0") = a;
    register uintptr_t x1 __asm__("x1") = b;
    register uintptr_t x2 __asm__("x2") = c;
    register uintptr_t x3 __asm__("x3") = d;
    register uintptr_t x4 __asm__("x4") = e;
    register uintptr_t x5 __asm__("x5") = f;
    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return (long)x0;
}

#else
#error "cprof knows x86-64 and AArch64"
#endif

#endif
