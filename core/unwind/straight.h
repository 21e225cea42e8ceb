/*
 * Unwinding through code that has no unwind information, by reading it: where nothing but moves
 * of the stack pointer, calls and pops lie between a pc and the function's return, they say
 * where the return address is. So stand the trampolines that runtimes compile to be seen by
 * perf (CPython's -X perf), and the ends of many small functions.
 *
 * Signal-safe. The code is fetched with a system call that fails where a load would crash: its
 * mapping may have gone. Nothing is remembered, since code that was made at run time may be
 * replaced by other code.
 */
#ifndef CPROF_UNWIND_STRAIGHT_H
#define CPROF_UNWIND_STRAIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "unwind/cfi.h"

enum { STRAIGHT_MAX = 32 }; /* bytes of code that are read */

/* [handler] The rule at pc: an instruction that is to be executed next. False: what follows is
 * no straight way to a return. */
bool straight_rule(uintptr_t pc, struct unwind_rule *rule);

/* [handler] Is there a call by a pointer right before pc? */
bool straight_follows_indirect_call(uintptr_t pc);

/* Is there a call right before pc that may be one of the function that begins at `function` (0:
 * of any)? By address, through a stub of the linker's or its table, by way of a function that
 * jumps there, or by a pointer. */
bool straight_follows_call_to(uintptr_t pc, uintptr_t function);

struct code_range {
    uintptr_t start, limit;
};

/* [handler] The same for any function in a range of code; NULL: of any at all. */
bool straight_follows_call_into(uintptr_t pc, const struct code_range *range);

/* [handler] Does the thread end with what comes at pc, the system call of exit? What returns
 * there was the first function that it ran. */
bool straight_exits(uintptr_t pc);

enum { CALL_MAX = 7 }; /* bytes of a call */

/* The same for `size` bytes of code. */
bool straight_read(const uint8_t *code, size_t size, struct unwind_rule *rule);

/* The same for the bytes before it. */
bool straight_ends_in_indirect_call(const uint8_t code[CALL_MAX]);

#endif
