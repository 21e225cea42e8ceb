#include "symbol/image.h"

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>

#include "cprof/readable.h"
#include "symbol/sha256.h"

#define PAGE 4096 /* holds the headers and nearly always the build id */
#define DELETED " (deleted)"

/* The start of the file as it is mapped at `address`: an ELF image cut after one page. */
static int open_mapped(uintptr_t address, uint8_t page[PAGE], struct elf *mapped)
{
    long got = cprof_read(page, address, PAGE);
    return got < 0 ? (int)got : elf_open_image(mapped, page, (size_t)got);
}

static bool same_image(const struct elf *a, const struct elf *b)
{
    struct build_id id_a, id_b;
    if (a->header.e_phnum != b->header.e_phnum ||
        memcmp(a->segments, b->segments, a->header.e_phnum * sizeof *a->segments))
        return false;
    elf_build_id(a, &id_a, NULL);
    elf_build_id(b, &id_b, NULL);
    return !id_a.size || !id_b.size ||
           (id_a.size == id_b.size && !memcmp(id_a.bytes, id_b.bytes, id_a.size));
}

static bool is_mapped_file(const struct elf *file, const struct module *module)
{
    uint8_t page[PAGE];
    struct elf mapped;
    int error = open_mapped(module->bias - module->shift + elf_base(file), page, &mapped);
    if (cprof_is_forbidden(error))
        return true;
    if (error)
        return false;
    bool same = same_image(file, &mapped);
    elf_close(&mapped);
    return same;
}

static int open_path(const char *path, const struct module *module, struct elf *elf)
{
    int error = elf_open_path(elf, path);
    if (!error && !is_mapped_file(elf, module)) {
        elf_close(elf);
        error = -ENOENT;
    }
    return error;
}

static int open_vdso(const struct module *module, struct elf *elf)
{
    uintptr_t start = getauxval(AT_SYSINFO_EHDR);
    if (!start || start >= module->limit || module->start < start)
        return -ENOENT;
    /* Its section headers follow the last segment, in the same page. */
    uintptr_t limit = (module->limit + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
    return elf_open_image(elf, (const void *)start, limit - start);
}

int image_open(const struct module *module, struct elf *elf)
{
    size_t length = strlen(module->path), suffix = sizeof DELETED - 1;
    if (!strcmp(module->path, "[vdso]"))
        return open_vdso(module, elf);
    if (module->path[0] != '/')
        return -ENOENT;
    int error = open_path(module->path, module, elf);
    if (!error)
        return 0;
    /* Renamed away and back, or replaced by an equal file. */
    char path[4096];
    if (length > suffix && length < sizeof path &&
        !strcmp(module->path + length - suffix, DELETED)) {
        memcpy(path, module->path, length - suffix);
        path[length - suffix] = '\0';
        error = open_path(path, module, elf);
    }
    return error ? open_path("/proc/thread-self/exe", module, elf) : 0;
}

void image_mapped_build_id(const struct module *module, struct build_id *id)
{
    /* Where the file's first byte is mapped: for nearly every linker's layout one of these. */
    uintptr_t candidates[] = {module->bias, module->start - module->file_offset};
    *id = (struct build_id){0};
    for (size_t i = 0; i < 2 && !id->size; i++) {
        uint8_t page[PAGE];
        struct elf mapped;
        if (open_mapped(candidates[i], page, &mapped))
            continue;
        elf_build_id(&mapped, id, NULL);
        elf_close(&mapped);
    }
}

void image_hex(const uint8_t *bytes, size_t count, char *hex)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        *hex++ = digits[bytes[i] >> 4];
        *hex++ = digits[bytes[i] & 15];
    }
    *hex = '\0';
}

int image_htlhash(const struct elf *elf, char hex[33])
{
    uint8_t block[4096], length[8], digest[SHA256_SIZE];
    struct sha256 sha;
    sha256_begin(&sha);
    ssize_t got = elf_read_some(elf, 0, block, sizeof block);
    if (got < 0)
        return -EIO;
    sha256_add(&sha, block, (size_t)got);
    got = elf_read_some(elf, elf->size > sizeof block ? elf->size - sizeof block : 0, block,
                        sizeof block);
    if (got < 0)
        return -EIO;
    sha256_add(&sha, block, (size_t)got);
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)(elf->size >> (56 - 8 * i));
    sha256_add(&sha, length, sizeof length);
    sha256_end(&sha, digest);
    image_hex(digest, 16, hex);
    return 0;
}
