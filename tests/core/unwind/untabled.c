/* Code as musl has it: compiled without unwind information and without frame pointers. */
#include "untabled.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

/* The signal arrives at the end of the system call. A register that callers find their frames
 * with has been put on the stack, and to other use. */
static long signal_with_frame_pointer_lost(long pid, long tid, long signo)
{
#if defined(__x86_64__)
    long result = SYS_tgkill;
    __asm__ volatile("push %%rbp\n\tmov $1, %%ebp\n\tsyscall\n\tpop %%rbp"
                     : "+a"(result)
                     : "D"(pid), "S"(tid), "d"(signo)
                     : "rcx", "r11", "memory");
    return result;
#else
    register long x8 __asm__("x8") = SYS_tgkill;
    register long x0 __asm__("x0") = pid;
    register long x1 __asm__("x1") = tid;
    register long x2 __asm__("x2") = signo;
    __asm__ volatile("stp x29, x30, [sp, #-16]!\n\tmov x29, #1\n\tsvc #0\n\t"
                     "ldp x29, x30, [sp], #16"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2)
                     : "memory");
    return x0;
#endif
}

long untabled_leaf(long pid, long tid, long signo)
{
#if defined(__x86_64__)
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(SYS_tgkill), "D"(pid), "S"(tid), "d"(signo)
                     : "rcx", "r11", "memory");
    return result;
#else
    register long x8 __asm__("x8") = SYS_tgkill;
    register long x0 __asm__("x0") = pid;
    register long x1 __asm__("x1") = tid;
    register long x2 __asm__("x2") = signo;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
    return x0;
#endif
}

uintptr_t untabled_left;

/* What was on the stack stays in the buffer, but for its first word. */
__attribute__((noinline)) static long inner(long pid, long tid, long signo)
{
    volatile uintptr_t buffer[112];
    buffer[0] = untabled_left;
    long result = signal_with_frame_pointer_lost(pid, tid, signo);
    return result + (buffer[0] != untabled_left);
}

long untabled_deep(long pid, long tid, long signo)
{
    volatile char buffer[300];
    buffer[0] = 1;
    return inner(pid, tid, signo) + buffer[0] - 1;
}

int untabled_callback(int (*function)(int), int value)
{
    volatile char buffer[100];
    buffer[0] = 1;
    return function(value) + buffer[0] - 1;
}
