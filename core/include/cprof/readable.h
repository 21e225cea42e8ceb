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
#include <fcntl.h>
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

static inline bool cprof_is_forbidden(long got)
{
    return got == -EPERM || got == -ENOSYS;
}

/* Are all pages of a piece readable? A file of memory gives those that the program may not
 * read, too. */
static inline bool cprof_pages_are_readable(const struct iovec *piece)
{
    const uintptr_t page = 4096; /* or a part of one, where pages are larger */
    const uintptr_t from = (uintptr_t)piece->iov_base, limit = from + piece->iov_len;
    for (uintptr_t at = from & ~(page - 1); from < limit && at < limit; at += page)
        if (!cprof_is_readable(at))
            return false;
    return from <= limit;
}

/* The same from the kernel's file of the memory, for where process_vm_readv(2) is not to be
 * had: in sandboxes, and under emulators of processors. Ten times slower. `got` where that is
 * not, either. */
static inline long cprof_read_from_file(uint8_t *to, const struct iovec *pieces, size_t count,
                                        long got)
{
    const uintptr_t path = (uintptr_t) "/proc/thread-self/mem";
    size_t size = 0;
    long file =
        cprof_syscall(SYS_openat, (uintptr_t)AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
    if (file < 0)
        return got;
    for (size_t i = 0; i < count && cprof_pages_are_readable(&pieces[i]); i++) {
        if (cprof_syscall(SYS_pread64, (uintptr_t)file, (uintptr_t)(to + size),
                          pieces[i].iov_len, (uintptr_t)pieces[i].iov_base, 0,
                          0) != (long)pieces[i].iov_len)
            break;
        size += pieces[i].iov_len;
    }
    cprof_syscall(SYS_close, (uintptr_t)file, 0, 0, 0, 0, 0);
    return size > 0 ? (long)size : -EFAULT;
}

/* Copies pieces one behind the other, up to one that can't be read whole. The bytes read, or a
 * negative errno: -EPERM or -ENOSYS where neither way is to be had. `self` is the calling
 * thread's id. */
static inline long cprof_read_pieces_as(long self, void *to, size_t size,
                                        const struct iovec *pieces, size_t count)
{
    struct iovec local = {.iov_base = to, .iov_len = size};
    long got = cprof_syscall(SYS_process_vm_readv, (uintptr_t)self, (uintptr_t)&local, 1,
                             (uintptr_t)pieces, count, 0);
    return cprof_is_forbidden(got) ? cprof_read_from_file(to, pieces, count, got) : got;
}

static inline long cprof_read_pieces(void *to, size_t size, const struct iovec *pieces,
                                     size_t count)
{
    return cprof_read_pieces_as(cprof_syscall(SYS_gettid, 0, 0, 0, 0, 0, 0), to, size, pieces,
                                count);
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
