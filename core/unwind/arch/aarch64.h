/* What the walker and the table compiler know of AArch64. */
#ifndef CPROF_UNWIND_ARCH_AARCH64_H
#define CPROF_UNWIND_ARCH_AARCH64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

#include "cprof/return_address.h"

/* DWARF's numbers of the registers that a walk follows. BASE is x19, the one that compilers
 * take first to find a frame whose size varies. */
enum { ARCH_DWARF_BASE = 19, ARCH_DWARF_FP = 29, ARCH_DWARF_RA = 30, ARCH_DWARF_SP = 31 };

/* Registers by DWARF number: the general ones, sp and the pc. */
enum { ARCH_REGISTERS = 33, ARCH_DWARF_PC = 32 };

/* A call leaves its return address in x30. */
static const bool ARCH_LINK_REGISTER = true;

/* How far above the place of a return address its function's frame ends at most, where that is
 * looked for: functions put it below what else they keep. */
static const uintptr_t ARCH_FRAME_ABOVE = 256;

/* Bytes below the stack pointer that a function may use. */
static const uintptr_t ARCH_RED_ZONE = 0;

/* Where the ucontext_t lies above the stack pointer when the signal trampoline runs: the
 * kernel's rt_sigframe begins with the 128 bytes of a siginfo_t. */
static const uintptr_t ARCH_SIGNAL_UCONTEXT = 128;

/* mov x8, #SYS_rt_sigreturn; svc #0: the whole of a trampoline. */
static const uint8_t ARCH_SIGNAL_RETURN[] = {0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4};

/* The general registers of a ucontext_t lie in its first so many bytes. */
static const size_t ARCH_UCONTEXT_REGISTERS =
    offsetof(ucontext_t, uc_mcontext.pc) + sizeof(uint64_t);

static inline uintptr_t arch_register(const void *ucontext, unsigned dwarf)
{
    const ucontext_t *context = ucontext;
    if (dwarf == ARCH_DWARF_SP)
        return context->uc_mcontext.sp;
    return dwarf < 31 ? context->uc_mcontext.regs[dwarf] : 0;
}

static inline uintptr_t arch_pc(const void *ucontext)
{
    return ((const ucontext_t *)ucontext)->uc_mcontext.pc;
}

/* Registers of which only the pc and the stack pointer are known. */
static inline void arch_fill(ucontext_t *ucontext, uintptr_t unknown)
{
    for (unsigned i = 0; i < 31; i++)
        ucontext->uc_mcontext.regs[i] = unknown;
}

static inline void arch_set(ucontext_t *ucontext, uintptr_t pc, uintptr_t sp)
{
    ucontext->uc_mcontext.pc = pc;
    ucontext->uc_mcontext.sp = sp;
}

static inline uintptr_t arch_strip(uintptr_t address)
{
    return cprof_return_address(address);
}

static inline uintptr_t arch_thread_pointer(void)
{
    uintptr_t pointer;
    __asm__("mrs %0, tpidr_el0" : "=r"(pointer));
    return pointer;
}

#endif
