/* Handler code: runs inside the sampling signal. No allocation, locks, stdio or errno. */
#include "unwind/stack.h"

#include <sys/auxv.h>

#include "cprof/readable.h"
#include "unwind/arch.h"

/* A thread's own stack is probed to its end, once, if that is no farther than this. A deeper
 * one is treated like any other: probed as far as the walk goes, in every sample. */
static const uintptr_t OWN_STACK_MAX = 1UL << 20;
static const uintptr_t FOREIGN_STACK_MAX = 8UL << 20;

/* Extends `from` page by page to `to`, as far as memory is readable. */
static uintptr_t readable_until(uintptr_t from, uintptr_t to)
{
    while (from < to && cprof_is_readable(from))
        from += PAGE;
    return from < to ? from : to;
}

/* Where the calling thread's own stack ends, if sp is on it. A thread's control block lies
 * at the top of its stack (glibc, musl); the main thread's does not, but the kernel puts
 * the name of the program there. */
static uintptr_t own_stack_end(uintptr_t sp)
{
    long pid = cprof_syscall(SYS_getpid, 0, 0, 0, 0, 0, 0);
    bool main_thread = cprof_syscall(SYS_gettid, 0, 0, 0, 0, 0, 0) == pid;
    uintptr_t end = main_thread ? (uintptr_t)getauxval(AT_EXECFN) : arch_thread_pointer();
    end &= ~(uintptr_t)(WORD - 1);
    return sp < end && end - sp <= OWN_STACK_MAX ? end : 0;
}

bool walk_bounds(struct stack_bounds *bounds, uintptr_t sp)
{
    uintptr_t low = sp - ARCH_RED_ZONE;
    if (low >= bounds->low && sp < bounds->high && bounds->high == bounds->reach)
        return true;
    low &= ~(PAGE - 1);
    uintptr_t end = own_stack_end(sp);
    if (end != 0) {
        bool grown = bounds->high == end && bounds->reach == end && low < bounds->low;
        uintptr_t unseen = grown ? bounds->low : end;
        if (readable_until(low, unseen) == unseen) {
            *bounds = (struct stack_bounds){.low = low, .high = end, .reach = end};
            return true;
        }
    }
    uintptr_t high = (sp & ~(PAGE - 1)) + PAGE;
    if (sp > UINTPTR_MAX - FOREIGN_STACK_MAX || readable_until(low, high) != high) {
        *bounds = (struct stack_bounds){.low = 0};
        return false;
    }
    *bounds =
        (struct stack_bounds){.low = low, .high = high, .reach = high + FOREIGN_STACK_MAX};
    return true;
}

bool stack_extend(struct stack_bounds *bounds, uintptr_t address, uintptr_t size)
{
    if (bounds->reach < size || address > bounds->reach - size)
        return false;
    if (bounds->copied)
        return copied_piece(bounds->copied, address, size) != NULL;
    uintptr_t wanted = (address + size + PAGE - 1) & ~(PAGE - 1);
    bounds->high =
        readable_until(bounds->high, wanted < bounds->reach ? wanted : bounds->reach);
    return address + size <= bounds->high;
}

READS_STACK bool stack_load_unseen(struct stack_bounds *bounds, uintptr_t address,
                                   uintptr_t *value)
{
    if (bounds->copied)
        return address <= bounds->reach - WORD &&
               copied_read(bounds->copied, address, value, WORD);
    if (!stack_extend(bounds, address, WORD))
        return false;
    *value = *(const uintptr_t *)address;
    return true;
}

const void *stack_look_at(struct stack_bounds *bounds, uintptr_t address, uintptr_t size)
{
    if (!stack_holds(bounds, address, size))
        return NULL;
    return bounds->copied ? copied_piece(bounds->copied, address, size) : (const void *)address;
}

struct stack_bounds stack_of_copied(struct copied *copied, uintptr_t sp)
{
    uintptr_t reach = sp < UINTPTR_MAX - FOREIGN_STACK_MAX ? sp + FOREIGN_STACK_MAX : sp;
    return (struct stack_bounds){.low = sp - ARCH_RED_ZONE, .reach = reach, .copied = copied};
}

bool stack_change(struct stack_bounds *bounds, uintptr_t sp)
{
    if (!bounds->copied)
        return walk_bounds(bounds, sp);
    *bounds = stack_of_copied(bounds->copied, sp);
    return true;
}
