/*
 * The entries of a module's .eh_frame in the order of their code, read one after the other
 * where the loader mapped them: what the table of a part of a module is compiled from
 * (table.h).
 *
 * Bytes are fetched as look-ups fetch them (mapped.h), with a system call that fails where a
 * load would crash, but some KiB at a time: neighbours mostly lie together. Collector only.
 * What has been fetched is forgotten by entries_open(): the module may go at any time.
 */
#ifndef CPROF_UNWIND_ENTRIES_H
#define CPROF_UNWIND_ENTRIES_H

#include <stddef.h>
#include <stdint.h>

#include "unwind/mapped.h"

/* Some bytes of memory, copied. */
struct entries_window {
    uintptr_t address;
    size_t size; /* 0: none */
    uint8_t bytes[MAPPED_ENTRY_MAX];
};

struct entries {
    const struct mapped_unwind *mapped;
    size_t next; /* the pair of the search table to go on with */
    struct entries_window pairs, entry, common;
};

/* Whose search table can be read: `mapped->count` is not 0. */
void entries_open(struct entries *entries, const struct mapped_unwind *mapped);

/* Goes to the last entry that begins at or below pc, or to the first of all. 0, or -EFAULT
 * when the memory can't be read. */
int entries_seek(struct entries *entries, uintptr_t pc);

/* The next entry that makes sense and begins below `limit`: 1, and it is there until the next
 * call. 0: there is none; -EFAULT. */
int entries_next(struct entries *entries, uintptr_t limit, struct cfi_entry *entry);

#endif
