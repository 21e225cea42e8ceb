/*
 * Reading memory that may not be there: an address that was an object a moment ago, or a field
 * of a structure that this Ruby may lay out differently. Not for handlers.
 */
#ifndef CPROF_RUBY_PEEK_H
#define CPROF_RUBY_PEEK_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* False when `size` bytes at `address` cannot be read. */
static inline bool peek(uintptr_t address, void *out, size_t size)
{
    struct iovec local = {.iov_base = out, .iov_len = size};
    struct iovec remote = {.iov_base = (void *)address, .iov_len = size};
    ssize_t got = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
    if (got < 0 && (errno == EPERM || errno == ENOSYS)) { /* a sandbox forbids the call */
        memcpy(out, (const void *)address, size);
        return true;
    }
    return got == (ssize_t)size;
}

static inline bool peek_word(uintptr_t address, uintptr_t *word)
{
    return peek(address, word, sizeof *word);
}

#endif
