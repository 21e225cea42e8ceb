#include "symbol/debugfile.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "symbol/image.h"

#define CRC_MAX (64u << 20) /* a bigger file is not read through just to sum it up */

/* What a debug file must be. */
struct expected {
    struct build_id id;
    bool has_crc;
    uint32_t crc;
};

static int crc_of(const struct elf *elf, uint32_t *crc)
{
    uint8_t block[16 * 1024];
    uLong sum = crc32(0, NULL, 0);
    if (elf->size > CRC_MAX)
        return -EFBIG;
    for (uint64_t at = 0; at < elf->size;) {
        ssize_t got = elf_read_some(elf, at, block, sizeof block);
        if (got <= 0)
            return -EIO;
        sum = crc32(sum, block, (uInt)got);
        at += (uint64_t)got;
    }
    *crc = (uint32_t)sum;
    return 0;
}

static bool is_expected(const struct elf *elf, const struct expected *expected)
{
    struct build_id id;
    uint32_t crc;
    elf_build_id(elf, &id, NULL);
    if (id.size && expected->id.size)
        return id.size == expected->id.size && !memcmp(id.bytes, expected->id.bytes, id.size);
    return expected->has_crc && !crc_of(elf, &crc) && crc == expected->crc;
}

__attribute__((format(printf, 3, 4))) static bool
try_path(struct elf *debug, const struct expected *expected, const char *format, ...)
{
    char path[PATH_MAX];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(path, sizeof path, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof path)
        return false;
    if (elf_open_path(debug, path))
        return false;
    if (is_expected(debug, expected))
        return true;
    elf_close(debug);
    return false;
}

/* .gnu_debuglink: a file name, NUL, padding to 4, the CRC. */
static bool read_link(const struct elf *elf, char *name, size_t capacity, uint32_t *crc)
{
    const Elf64_Shdr *section = elf_section(elf, ".gnu_debuglink");
    if (!section || section->sh_size < 8 || section->sh_size > capacity ||
        elf_read(elf, section->sh_offset, name, (size_t)section->sh_size))
        return false;
    memcpy(crc, name + section->sh_size - sizeof *crc, sizeof *crc);
    name[section->sh_size - sizeof *crc] = '\0';
    return name[0] && !strchr(name, '/');
}

int debugfile_open(const struct elf *elf, const char *path, const char *root, struct elf *debug)
{
    struct expected expected = {.has_crc = false};
    elf_build_id(elf, &expected.id, NULL);
    if (expected.id.size > 1) {
        char hex[2 * ELF_BUILD_ID_MAX + 1];
        image_hex(expected.id.bytes, expected.id.size, hex);
        if (try_path(debug, &expected, "%s/.build-id/%.2s/%s.debug", root, hex, hex + 2))
            return 0;
    }
    char name[256];
    const char *slash = strrchr(path, '/');
    expected.has_crc = read_link(elf, name, sizeof name, &expected.crc);
    if (!expected.has_crc || !slash)
        return -ENOENT;
    int folder = (int)(slash - path);
    if (try_path(debug, &expected, "%.*s/%s", folder, path, name) ||
        try_path(debug, &expected, "%.*s/.debug/%s", folder, path, name) ||
        try_path(debug, &expected, "%s%.*s/%s", root, folder, path, name))
        return 0;
    return -ENOENT;
}
