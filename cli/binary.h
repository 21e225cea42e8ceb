/*
 * A file with symbols, for code that ran elsewhere: a program or library, or the debug file of
 * one. Names functions by DWARF and by the symbol table. Files are untrusted; one thread.
 */
#ifndef CPROF_CLI_BINARY_H
#define CPROF_CLI_BINARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "symbol/symbolizer.h"

struct binary;

/* What is known of the file that is sought; NULL or "": nothing. */
struct binary_identity {
    const char *build_id; /* hex */
    const char *htlhash;
};

enum binary_match { BINARY_OTHER, BINARY_PERHAPS, BINARY_SAME };

/* The file at a path and how sure it is that it is the one; BINARY_PERHAPS where neither side
 * says. NULL: another file, no ELF file of this machine's kind, or out of memory. */
struct binary *binary_open(const char *path, const struct binary_identity *identity,
                           enum binary_match *match);

/* The debug file ROOT/.build-id/xx/yyyy.debug of that build id, or NULL. */
struct binary *binary_open_debug(const char *root, const char *build_id);
void binary_free(struct binary *binary);

/* The address in the file's own terms of a byte at an offset in the file. */
uint64_t binary_vaddr(const struct binary *binary, uint64_t file_offset);

/* The functions at an address, innermost inlined one first; their number, 0: not known. Strings
 * live as long as the binary. */
size_t binary_find(struct binary *binary, uint64_t vaddr,
                   struct symbol_line lines[SYMBOL_MAX_INLINED]);

#endif
