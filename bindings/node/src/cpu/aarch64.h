/* Handler code: V8's frames on AArch64. */
#ifndef CPROF_NODE_CPU_AARCH64_H
#define CPROF_NODE_CPU_AARCH64_H

#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

#include "cprof/return_address.h"
#include "cprof/runtime.h"

/* Pointers of programs are below, but for what is asked for higher up by name. */
static const uintptr_t CPU_ADDRESS_LIMIT = (uintptr_t)1 << 48;

/* A call leaves its return address in a register. */
static const bool CPU_LINK_REGISTER = true;

/* Words above the return address of a frame that C++ has called: JSEntry keeps d8 to d15 and
 * x19 to x28 there, a regular expression x19 to x28. */
enum { CPU_ENTRY_SAVED = 18, CPU_REGEXP_SAVED = 10 };

/* Where the interpreter keeps its function's BytecodeArray, and the offset in it. */
static inline uintptr_t cpu_bytecode(const ucontext_t *context)
{
    return context->uc_mcontext.regs[20];
}

static inline intptr_t cpu_bytecode_offset(const ucontext_t *context)
{
    return (intptr_t)context->uc_mcontext.regs[19];
}

/* A return address as it was before it was signed. */
static inline uintptr_t cpu_return_address(uintptr_t address)
{
    return cprof_return_address(address);
}

static inline bool cpu_saves_pair(uint32_t code)
{
    /* stp x29, x30, [sp, #…], with or without a change of sp */
    return (code & 0xff407fff) == 0xa9007bfd;
}

static inline bool cpu_returns(uint32_t code)
{
    return code == 0xd65f03c0 || (code & 0xfffffbff) == 0xd65f0bff; /* ret, retaa, retab */
}

static inline bool cpu_takes_pair(uint32_t code)
{
    return (code & 0xfe407fff) == 0xa8407bfd; /* ldp x29, x30, of any kind */
}

static inline bool cpu_makes_frame(uint32_t code)
{
    return (code & 0xffc003ff) == 0x910003fd; /* add x29, sp, #…, which mov is, too */
}

/* May it go elsewhere? So may system calls and breakpoints, but not hints: paciasp, bti. */
static inline bool cpu_branches(uint32_t code)
{
    return (code & 0x1c000000) == 0x14000000 && (code & 0xfffff01f) != 0xd503201f;
}

/* Before a function has made its frame, and after it has given it up, the return address is in
 * x30, and x29 is still the caller's, or is it again. The instructions that come next tell, as
 * far as nothing branches. False: there is a frame. The stack pointer may have been moved
 * already: it is no more than a bound to JavaScript callers, and JSEntry, which C++ calls,
 * makes its frame in a few instructions. */
static inline bool cpu_leave_frameless(const ucontext_t *context,
                                       struct cprof_registers *registers)
{
    enum { LOOKED_AT = 8, PAGE = 4096 };
    const uint32_t *code = (const uint32_t *)registers->pc;
    const uintptr_t rest = (PAGE - (registers->pc & (PAGE - 1))) / sizeof *code;
    for (uintptr_t i = 0; i < LOOKED_AT && i < rest; i++) {
        if (cpu_saves_pair(code[i]) || cpu_makes_frame(code[i]) || cpu_returns(code[i])) {
            registers->pc = cpu_return_address(context->uc_mcontext.regs[30]);
            return true;
        }
        if (cpu_takes_pair(code[i]) || cpu_branches(code[i]))
            return false;
    }
    return false;
}

#endif
