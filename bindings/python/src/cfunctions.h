/*
 * Names of C functions that come without symbols.
 *
 * A distribution strips its interpreter and its extension modules, but the interpreter still
 * knows by which names Python reaches their functions: from the method tables of modules and
 * types, and from the wrappers around type slots. They are gathered here by the address at
 * which each function starts: "sum", "list.sort", "sqlite3.Cursor.execute",
 * "list_iterator.__next__". A function that several types share goes by its last part alone.
 *
 * Gathered under the GIL: when profiling starts, and again when the collector has met a
 * nameless function and modules were imported since, by a pending call of the main thread or
 * when the next thread starts, in a bounded share of time. The collector never waits for that:
 * it is told to ask again. As many names are kept as the memory limit has room for, some 40
 * bytes each; what is more stays nameless, and a line says so.
 */
#ifndef CPROF_PYTHON_CFUNCTIONS_H
#define CPROF_PYTHON_CFUNCTIONS_H

#include <stddef.h>
#include <stdint.h>

/* [GIL] Around profiling. What was gathered stays for the next start. */
void cfunctions_open(void);
void cfunctions_close(void);

/* [GIL] A good moment to gather, if the collector asked for it. */
void cfunctions_refresh(void);

/* [collector] The runtime.h native_name() entry. */
int cfunctions_name(uintptr_t start, char *name, size_t size);

/* Held across fork. */
void cfunctions_lock(void);
void cfunctions_unlock(void);

/* In a fork's child, locked: what the parent's main thread was asked to do has not been done.
 */
void cfunctions_child(void);

#endif
