/* Handler code: V8's frames on x86-64. */
#ifndef CPROF_NODE_CPU_X86_64_H
#define CPROF_NODE_CPU_X86_64_H

#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

#include "cprof/runtime.h"

/* Pointers of programs are below. */
static const uintptr_t CPU_ADDRESS_LIMIT = (uintptr_t)1 << 47;

/* A call leaves its return address on the stack. */
static const bool CPU_LINK_REGISTER = false;

/* Words above the return address of a frame that C++ has called: none. */
enum { CPU_ENTRY_SAVED = 0, CPU_REGEXP_SAVED = 0 };

/* Where the interpreter keeps its function's BytecodeArray, and the offset in it. */
static inline uintptr_t cpu_bytecode(const ucontext_t *context)
{
    return (uintptr_t)context->uc_mcontext.gregs[REG_R12];
}

static inline intptr_t cpu_bytecode_offset(const ucontext_t *context)
{
    return (intptr_t)context->uc_mcontext.gregs[REG_R9];
}

/* A return address as it was before it was signed, which this processor does not do. */
static inline uintptr_t cpu_return_address(uintptr_t address)
{
    return address;
}

/* Before a function has made its frame, and after it has given it up, the caller's return
 * address lies at the stack pointer: told by the instruction that comes next. False: there is a
 * frame. The two words at the stack pointer can be read. */
static inline bool cpu_leave_frameless(const ucontext_t *context,
                                       struct cprof_registers *registers)
{
    const uint8_t *code = (const uint8_t *)registers->pc;
    const uintptr_t *stack = (const uintptr_t *)registers->sp;
    bool pushes = code[0] == 0x55;                     /* push rbp */
    bool returns = code[0] == 0xc3 || code[0] == 0xc2; /* ret */
    bool moves = code[0] == 0x48 && ((code[1] == 0x89 && code[2] == 0xe5) ||
                                     (code[1] == 0x8b && code[2] == 0xec)); /* mov rbp, rsp */
    (void)context;
    if (!pushes && !returns && !moves)
        return false;
    registers->pc = stack[moves ? 1 : 0];
    registers->sp += (moves ? 2u : 1u) * sizeof(uintptr_t);
    if (moves)
        registers->fp = stack[0];
    return true;
}

#endif
