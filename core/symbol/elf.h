/*
 * Reading one ELF file of this machine's own kind, with nothing trusted: every offset and
 * size is checked against the file, and bytes are fetched with pread(2), never mapped, since
 * touching a mapping of a file that somebody truncates kills the process. An image in memory
 * (the vDSO, a test's buffer) reads the same way.
 *
 * The tables of segments and sections are held while it is open: a few KiB, bounded by
 * ELF_MAX_SEGMENTS and ELF_MAX_SECTIONS. A file that is wanted again and again is closed in
 * between, as a program may close all descriptors, and keeps its tables: elf_rest(). Addresses
 * are those of the file ("vaddr"), as in its program headers. Collector only.
 */
#ifndef CPROF_SYMBOL_ELF_H
#define CPROF_SYMBOL_ELF_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define ELF_MAX_SEGMENTS 64
#define ELF_MAX_SECTIONS 4096
#define ELF_RESTING_MAX (32u << 10) /* bytes of tables that a closed file may keep */
#define ELF_BUILD_ID_MAX 64         /* bytes; GNU's are 20, some 8 or 16 */

/* By what a file is known again. */
struct elf_identity {
    dev_t device;
    ino_t inode;
    struct timespec written, changed;
};

struct elf {
    int fd; /* owned; -1 for an image in memory, and at rest */
    const uint8_t *image;
    char *path; /* owned; NULL: not known */
    struct elf_identity identity;
    uint64_t size; /* of the file */
    Elf64_Ehdr header;
    Elf64_Phdr *segments; /* header.e_phnum of them */
    Elf64_Shdr
        *sections; /* section_count of them; those past the end of the file are SHT_NULL */
    size_t section_count;
    char *section_names; /* NUL at the end */
    size_t section_names_size;
};

struct build_id {
    size_t size; /* 0 = none */
    uint8_t bytes[ELF_BUILD_ID_MAX];
};

/* Takes over the descriptor, and closes it on failure too. 0, or -ENOEXEC for what is not an
 * ELF file of this machine, -EIO, -ENOMEM. */
int elf_open(struct elf *elf, int fd);

/* The same of the file at a path. -ENOENT: it can't be opened. */
int elf_open_path(struct elf *elf, const char *path);

/* The image must stay until elf_close(). */
int elf_open_image(struct elf *elf, const void *image, size_t size);

/* Also fine on one that failed to open, or is at rest. */
void elf_close(struct elf *elf);

/* Closes what elf_open_path() has opened, but keeps its tables. False: they are too large to be
 * kept, or it has no path, and it is closed for good. */
bool elf_rest(struct elf *elf);

/* After elf_rest(): opens the file again. False: it is not the same one any more, or has been
 * written to, and is closed for good. */
bool elf_resume(struct elf *elf);

/* All of it, or -EIO. */
int elf_read(const struct elf *elf, uint64_t offset, void *buffer, size_t size);

/* As many bytes as there are up to `size`; their number, or -EIO. */
ssize_t elf_read_some(const struct elf *elf, uint64_t offset, void *buffer, size_t size);

/* A NUL-terminated string, cut at capacity - 1. 0, or -EIO. */
int elf_read_string(const struct elf *elf, uint64_t offset, char *buffer, size_t capacity);

/* NULL when there is no such section with contents in this file. */
const Elf64_Shdr *elf_section(const struct elf *elf, const char *name);
const Elf64_Shdr *elf_section_of_type(const struct elf *elf, uint32_t type);
const Elf64_Shdr *elf_section_at(const struct elf *elf, uint64_t vaddr);
const char *elf_section_name(const struct elf *elf, const Elf64_Shdr *section);

/* Where a vaddr's bytes are in the file, or -ENXIO. */
int elf_offset_of(const struct elf *elf, uint64_t vaddr, uint64_t *offset);

/* The vaddr of the file's first loaded byte. */
uint64_t elf_base(const struct elf *elf);

/* The GNU build id; size 0 when there is none. `vaddr` may be NULL. */
void elf_build_id(const struct elf *elf, struct build_id *id, uint64_t *vaddr);

#endif
