/*
 * Memory of this process that may not be there: what was an object a moment ago, a mapping
 * whose file has been cut off, the end of a stack. What can't be read is an answer here, not a
 * fault.
 *
 * Any thread, and signal handlers: plain system calls, and errno stays as it is.
 *
 * A process is named by the calling thread's id. By its own id it is known as the main thread,
 * which may have ended, and has no memory then.
 */
#ifndef CPROF_READABLE_H
#define CPROF_READABLE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

#include "cprof/syscall.h"

/* Can eight bytes at `address` be read? The kernel copies a new signal mask in before it
 * rejects the impossible way to apply it: no effect, 0.1 µs, and no sandbox forbids it. */
static inline bool cprof_is_readable(uintptr_t address)
{
    const uintptr_t no_such_way = (uintptr_t)-1;
    return cprof_syscall(SYS_rt_sigprocmask, no_such_way, address, 0, 8, 0, 0) == -EINVAL;
}

/* Copies pieces one behind the other, up to one that can't be read whole. The bytes read, or a
 * negative errno: -EPERM or -ENOSYS where a sandbox forbids it. */
static inline long cprof_read_pieces(void *to, size_t size, const struct iovec *pieces,
                                     size_t count)
{
    struct iovec local = {.iov_base = to, .iov_len = size};
    uintptr_t self = (uintptr_t)cprof_syscall(SYS_gettid, 0, 0, 0, 0, 0, 0);
    return cprof_syscall(SYS_process_vm_readv, self, (uintptr_t)&local, 1, (uintptr_t)pieces,
                         count, 0);
}

/* One piece of at most a page is read whole or not at all. */
static inline long cprof_read(void *to, uintptr_t from, size_t size)
{
    const struct iovec piece = {.iov_base = (void *)from, .iov_len = size};
    return cprof_read_pieces(to, size, &piece, 1);
}

static inline bool cprof_read_all(void *to, uintptr_t from, size_t size)
{
    return cprof_read(to, from, size) == (long)size;
}

static inline bool cprof_is_forbidden(long got)
{
    return got == -EPERM || got == -ENOSYS;
}

/* For what was alive a moment ago, or has been checked: where a sandbox forbids the call, the
 * bytes are copied as they are. False: they can't be read. */
static inline bool cprof_read_alive(void *to, uintptr_t from, size_t size)
{
    long got = cprof_read(to, from, size);
    if (cprof_is_forbidden(got))
        memcpy(to, (const void *)from, size);
    return cprof_is_forbidden(got) || got == (long)size;
}

static inline bool cprof_read_alive_word(uintptr_t address, uintptr_t *word)
{
    return cprof_read_alive(word, address, sizeof *word);
}

#endif
