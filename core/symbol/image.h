/*
 * The file behind a mapped module. A path may by now name another file (an upgrade while the
 * program runs), none (deleted), or one of another root: a file is taken for the module's
 * only if its program headers and build id equal those in memory. Memory is read through the
 * kernel, so a module that is being unmapped gives an error, not a crash. Where a sandbox
 * forbids that, the path is trusted. Collector only.
 */
#ifndef CPROF_SYMBOL_IMAGE_H
#define CPROF_SYMBOL_IMAGE_H

#include "symbol/elf.h"
#include "unwind/modules.h"

/* Opens the file of a module, or the vDSO's image. 0, or -ENOENT when there is none that is
 * surely the one mapped, or elf_open's errors. */
int image_open(const struct module *module, struct elf *elf);

/* The build id as it lies in memory, for modules whose file is gone; size 0 = none. */
void image_mapped_build_id(const struct module *module, struct build_id *id);

/* htlhash, hex with its NUL: the first half of the SHA-256 of the file's first and last
 * 4,096 bytes and its big-endian length (OpenTelemetry's process.executable.build_id.htlhash).
 * 0, or -EIO. */
int image_htlhash(const struct elf *elf, char hex[33]);

/* Hex of a few bytes, with its NUL. */
void image_hex(const uint8_t *bytes, size_t count, char *hex);

#endif
