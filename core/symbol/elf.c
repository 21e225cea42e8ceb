#include "symbol/elf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTION_NAMES_MAX (64 * 1024)
#define NOTES_MAX 4096 /* bytes of one PT_NOTE that are searched */

#if defined(__x86_64__)
#define OWN_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OWN_MACHINE EM_AARCH64
#else
#error "cprof runs on x86-64 and aarch64"
#endif

ssize_t elf_read_some(const struct elf *elf, uint64_t offset, void *buffer, size_t size)
{
    if (offset > elf->size)
        return -EIO;
    if (size > elf->size - offset)
        size = (size_t)(elf->size - offset);
    if (elf->image) {
        memcpy(buffer, elf->image + offset, size);
        return (ssize_t)size;
    }
    size_t done = 0;
    while (done < size) {
        ssize_t got =
            pread(elf->fd, (char *)buffer + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -EIO;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

int elf_read(const struct elf *elf, uint64_t offset, void *buffer, size_t size)
{
    return elf_read_some(elf, offset, buffer, size) == (ssize_t)size ? 0 : -EIO;
}

int elf_read_string(const struct elf *elf, uint64_t offset, char *buffer, size_t capacity)
{
    ssize_t got = elf_read_some(elf, offset, buffer, capacity - 1);
    if (got <= 0)
        return -EIO;
    buffer[got] = '\0';
    return 0;
}

/* What a compiler has just made lies in memory only. */
static bool is_own_kind(const Elf64_Ehdr *header, bool in_memory)
{
    return !memcmp(header->e_ident, ELFMAG, SELFMAG) &&
           header->e_ident[EI_CLASS] == ELFCLASS64 && header->e_ident[EI_DATA] == ELFDATA2LSB &&
           header->e_machine == OWN_MACHINE &&
           (header->e_type == ET_EXEC || header->e_type == ET_DYN ||
            (in_memory && header->e_type == ET_REL));
}

/* A freshly allocated copy of `size` bytes at an offset; NULL when it can't be had. */
static void *read_new(const struct elf *elf, uint64_t offset, size_t size)
{
    void *copy = malloc(size ? size : 1);
    if (copy && elf_read(elf, offset, copy, size)) {
        free(copy);
        copy = NULL;
    }
    return copy;
}

static int read_segments(struct elf *elf)
{
    size_t count = elf->header.e_phnum;
    if (count > ELF_MAX_SEGMENTS || (count && elf->header.e_phentsize != sizeof(Elf64_Phdr)))
        return -ENOEXEC;
    elf->segments = read_new(elf, elf->header.e_phoff, count * sizeof(Elf64_Phdr));
    return elf->segments ? 0 : -EIO;
}

/* A file without (readable) section headers is still an ELF file: it just has no sections. */
static void read_sections(struct elf *elf)
{
    const Elf64_Ehdr *header = &elf->header;
    Elf64_Shdr first;
    if (!header->e_shoff || header->e_shentsize != sizeof first ||
        elf_read(elf, header->e_shoff, &first, sizeof first))
        return;
    uint64_t count = header->e_shnum ? header->e_shnum : first.sh_size;
    uint32_t names = header->e_shstrndx == SHN_XINDEX ? first.sh_link : header->e_shstrndx;
    if (count > ELF_MAX_SECTIONS)
        return;
    elf->sections = read_new(elf, header->e_shoff, (size_t)count * sizeof first);
    if (!elf->sections)
        return;
    elf->section_count = (size_t)count;
    for (size_t i = 0; i < count; i++) {
        Elf64_Shdr *section = &elf->sections[i];
        if (section->sh_type != SHT_NOBITS &&
            (section->sh_offset > elf->size ||
             section->sh_size > elf->size - section->sh_offset))
            section->sh_type = SHT_NULL;
    }
    if (names >= count || elf->sections[names].sh_type != SHT_STRTAB ||
        elf->sections[names].sh_size > SECTION_NAMES_MAX || !elf->sections[names].sh_size)
        return;
    elf->section_names_size = (size_t)elf->sections[names].sh_size;
    elf->section_names = read_new(elf, elf->sections[names].sh_offset, elf->section_names_size);
    if (elf->section_names)
        elf->section_names[elf->section_names_size - 1] = '\0';
}

static int open_any(struct elf *elf)
{
    int error = elf_read(elf, 0, &elf->header, sizeof elf->header) ? -ENOEXEC : 0;
    if (!error && !is_own_kind(&elf->header, elf->image))
        error = -ENOEXEC;
    if (!error)
        error = read_segments(elf);
    if (error) {
        elf_close(elf);
        return error;
    }
    read_sections(elf);
    return 0;
}

static struct elf_identity identity_of(const struct stat *status)
{
    return (struct elf_identity){.device = status->st_dev,
                                 .inode = status->st_ino,
                                 .written = status->st_mtim,
                                 .changed = status->st_ctim};
}

int elf_open(struct elf *elf, int fd)
{
    struct stat status;
    *elf = (struct elf){.fd = fd};
    if (fstat(fd, &status) || !S_ISREG(status.st_mode)) {
        close(fd);
        elf->fd = -1;
        return -ENOEXEC;
    }
    elf->size = (uint64_t)status.st_size;
    elf->identity = identity_of(&status);
    return open_any(elf);
}

static int open_file(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

int elf_open_path(struct elf *elf, const char *path)
{
    int fd = open_file(path);
    if (fd < 0)
        return -ENOENT;
    int error = elf_open(elf, fd);
    if (!error)
        elf->path = strdup(path);
    return error;
}

int elf_open_image(struct elf *elf, const void *image, size_t size)
{
    *elf = (struct elf){.fd = -1, .image = image, .size = size};
    return open_any(elf);
}

void elf_close(struct elf *elf)
{
    free(elf->segments);
    free(elf->sections);
    free(elf->section_names);
    free(elf->path);
    if (elf->fd >= 0)
        close(elf->fd);
    *elf = (struct elf){.fd = -1};
}

bool elf_rest(struct elf *elf)
{
    size_t bytes = elf->header.e_phnum * sizeof *elf->segments +
                   elf->section_count * sizeof *elf->sections + elf->section_names_size;
    if (!elf->path || bytes > ELF_RESTING_MAX) {
        elf_close(elf);
        return false;
    }
    close(elf->fd);
    elf->fd = -1;
    return true;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool is_same_file(const struct elf *elf, const struct stat *status)
{
    const struct elf_identity *then = &elf->identity;
    return status->st_dev == then->device && status->st_ino == then->inode &&
           (uint64_t)status->st_size == elf->size &&
           same_time(&status->st_mtim, &then->written) &&
           same_time(&status->st_ctim, &then->changed);
}

bool elf_resume(struct elf *elf)
{
    struct stat status;
    elf->fd = open_file(elf->path);
    if (elf->fd >= 0 && !fstat(elf->fd, &status) && is_same_file(elf, &status))
        return true;
    elf_close(elf);
    return false;
}

const char *elf_section_name(const struct elf *elf, const Elf64_Shdr *section)
{
    bool named = elf->section_names && section->sh_name < elf->section_names_size;
    return named ? elf->section_names + section->sh_name : "";
}

const Elf64_Shdr *elf_section(const struct elf *elf, const char *name)
{
    for (size_t i = 0; i < elf->section_count; i++) {
        const Elf64_Shdr *section = &elf->sections[i];
        if (section->sh_type != SHT_NULL && section->sh_type != SHT_NOBITS &&
            !strcmp(elf_section_name(elf, section), name))
            return section;
    }
    return NULL;
}

const Elf64_Shdr *elf_section_of_type(const struct elf *elf, uint32_t type)
{
    for (size_t i = 0; i < elf->section_count; i++) {
        if (elf->sections[i].sh_type == type)
            return &elf->sections[i];
    }
    return NULL;
}

const Elf64_Shdr *elf_section_at(const struct elf *elf, uint64_t vaddr)
{
    for (size_t i = 0; i < elf->section_count; i++) {
        const Elf64_Shdr *section = &elf->sections[i];
        if ((section->sh_flags & SHF_ALLOC) && vaddr >= section->sh_addr &&
            vaddr - section->sh_addr < section->sh_size)
            return section;
    }
    return NULL;
}

int elf_offset_of(const struct elf *elf, uint64_t vaddr, uint64_t *offset)
{
    for (size_t i = 0; i < elf->header.e_phnum; i++) {
        const Elf64_Phdr *segment = &elf->segments[i];
        if (segment->p_type != PT_LOAD || vaddr < segment->p_vaddr ||
            vaddr - segment->p_vaddr >= segment->p_filesz)
            continue;
        uint64_t distance = vaddr - segment->p_vaddr;
        if (segment->p_offset > elf->size || distance >= elf->size - segment->p_offset)
            return -ENXIO;
        *offset = segment->p_offset + distance;
        return 0;
    }
    return -ENXIO;
}

uint64_t elf_base(const struct elf *elf)
{
    uint64_t base = UINT64_MAX;
    for (size_t i = 0; i < elf->header.e_phnum; i++) {
        if (elf->segments[i].p_type == PT_LOAD && elf->segments[i].p_vaddr < base)
            base = elf->segments[i].p_vaddr;
    }
    return base == UINT64_MAX ? 0 : base;
}

/* Where the build id lies in one segment's notes: the offset into them, 0 = not there. */
static size_t find_build_id(const uint8_t *notes, size_t size, size_t align, size_t *id_size)
{
    for (size_t at = 0; size - at >= sizeof(Elf64_Nhdr);) {
        Elf64_Nhdr note;
        memcpy(&note, notes + at, sizeof note);
        uint64_t name = at + sizeof note;
        uint64_t contents = (name + note.n_namesz + align - 1) & ~(uint64_t)(align - 1);
        uint64_t next = (contents + note.n_descsz + align - 1) & ~(uint64_t)(align - 1);
        if (contents > size || note.n_descsz > size - contents)
            return 0;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof ELF_NOTE_GNU &&
            !memcmp(notes + name, ELF_NOTE_GNU, sizeof ELF_NOTE_GNU)) {
            *id_size = note.n_descsz;
            return (size_t)contents;
        }
        if (next > size)
            return 0;
        at = (size_t)next;
    }
    return 0;
}

void elf_build_id(const struct elf *elf, struct build_id *id, uint64_t *vaddr)
{
    *id = (struct build_id){0};
    for (size_t i = 0; i < elf->header.e_phnum; i++) {
        const Elf64_Phdr *segment = &elf->segments[i];
        uint8_t notes[NOTES_MAX];
        size_t size = segment->p_filesz < NOTES_MAX ? (size_t)segment->p_filesz : NOTES_MAX;
        size_t id_size = 0;
        if (segment->p_type != PT_NOTE || elf_read(elf, segment->p_offset, notes, size))
            continue;
        size_t at = find_build_id(notes, size, segment->p_align == 8 ? 8 : 4, &id_size);
        if (!at || !id_size || id_size > sizeof id->bytes)
            continue;
        id->size = id_size;
        memcpy(id->bytes, notes + at, id_size);
        if (vaddr)
            *vaddr = segment->p_vaddr + at;
        return;
    }
}
