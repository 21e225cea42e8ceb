/* What the walker and the table compiler know of x86-64. */
#ifndef CPROF_UNWIND_ARCH_X86_64_H
#define CPROF_UNWIND_ARCH_X86_64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

/* DWARF's numbers of the registers that a walk follows. BASE is the one callee-saved register
 * besides the frame pointer that code finds its frame with across calls: glibc's lazy binding
 * (_dl_runtime_resolve) keeps the old stack pointer in rbx. */
enum { ARCH_DWARF_BASE = 3, ARCH_DWARF_FP = 6, ARCH_DWARF_SP = 7, ARCH_DWARF_RA = 16 };

/* Registers by DWARF number: the general ones and the pc. */
enum { ARCH_REGISTERS = 17, ARCH_DWARF_PC = 16 };

/* A call pushes its return address; there is no link register. */
static const bool ARCH_LINK_REGISTER = false;

/* How far above the place of a return address its function's frame ends at most. */
static const uintptr_t ARCH_FRAME_ABOVE = 8;

/* Bytes below the stack pointer that a function may use. */
static const uintptr_t ARCH_RED_ZONE = 128;

/* Where the ucontext_t lies above the stack pointer when the signal trampoline runs. */
static const uintptr_t ARCH_SIGNAL_UCONTEXT = 0;

/* mov $SYS_rt_sigreturn, %rax; syscall: the whole of a trampoline. */
static const uint8_t ARCH_SIGNAL_RETURN[] = {0x48, 0xc7, 0xc0, 0x0f, 0x00,
                                             0x00, 0x00, 0x0f, 0x05};

/* The general registers of a ucontext_t lie in its first so many bytes. */
static const size_t ARCH_UCONTEXT_REGISTERS =
    offsetof(ucontext_t, uc_mcontext.gregs) + sizeof(gregset_t);

static inline uintptr_t arch_register(const void *ucontext, unsigned dwarf)
{
    static const uint8_t greg[] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
                                   REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                   REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};
    const ucontext_t *context = ucontext;
    return dwarf < sizeof(greg) ? (uintptr_t)context->uc_mcontext.gregs[greg[dwarf]] : 0;
}

static inline uintptr_t arch_pc(const void *ucontext)
{
    return arch_register(ucontext, ARCH_DWARF_RA);
}

/* Registers of which only the pc and the stack pointer are known. */
static inline void arch_fill(ucontext_t *ucontext, uintptr_t unknown)
{
    for (unsigned i = 0; i < sizeof(gregset_t) / sizeof(greg_t); i++)
        ucontext->uc_mcontext.gregs[i] = (greg_t)unknown;
}

static inline void arch_set(ucontext_t *ucontext, uintptr_t pc, uintptr_t sp)
{
    ucontext->uc_mcontext.gregs[REG_RIP] = (greg_t)pc;
    ucontext->uc_mcontext.gregs[REG_RSP] = (greg_t)sp;
}

/* A return address as it was before it was signed. */
static inline uintptr_t arch_strip(uintptr_t address)
{
    return address;
}

static inline uintptr_t arch_thread_pointer(void)
{
    uintptr_t pointer;
    __asm__("mov %%fs:0, %0" : "=r"(pointer));
    return pointer;
}

#endif
