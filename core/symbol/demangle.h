/*
 * Names for people out of names for linkers: C++ (Itanium ABI), Rust (legacy and v0) and
 * Cython (cython.h), without the suffixes that compilers add to parts and copies of one
 * function ("foo.cold", "foo.part.0", "::h0123456789abcdef"). A name that is neither stays as
 * it is.
 *
 * The work is done by GNU libiberty's cp-demangle.c and rust-demangle.c, linked statically
 * and hidden; see docs/licenses.md for why that is in order. Names come from files that may be
 * hostile: what is longer than DEMANGLE_INPUT is not demangled, and a demangling ends as soon
 * as its output is full, so neither time nor memory can explode. Its recursion needs up to
 * 450 KiB of stack for a hostile name (measured): give the calling thread 1 MiB.
 */
#ifndef CPROF_SYMBOL_DEMANGLE_H
#define CPROF_SYMBOL_DEMANGLE_H

#include <stddef.h>

#define DEMANGLE_INPUT 1024  /* bytes of a mangled name */
#define DEMANGLE_OUTPUT 4096 /* bytes of a demangled name, with its NUL */

/* Writes the readable form of `name`, cut at `capacity` - 1 bytes if it must be. */
void demangle(const char *name, char *output, size_t capacity);

#endif
