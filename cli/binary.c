#include "binary.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symbol/debugfile.h"
#include "symbol/demangle.h"
#include "symbol/dwarf.h"
#include "symbol/elf.h"
#include "symbol/image.h"
#include "symbol/symtab.h"

struct binary {
    struct elf image, debug; /* of `image` the separate debug file, where there is one */
    bool has_debug, has_symtab, has_dwarf;
    bool symtab_in_debug;
    bool only_debug; /* the image is a debug file: its segments say nothing of the program's */
    struct symtab symtab;
    struct dwarf_index index;
    struct dwarf dwarf;
    struct strings strings;
};

static int open_file(const char *path, struct elf *elf)
{
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return -1;
    if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(file);
        return -1;
    }
    return elf_open(elf, file);
}

/* Build ids are hex; others, Go's own, are of another kind. */
static bool is_hex(const char *text)
{
    size_t length = text ? strlen(text) : 0;
    return length > 0 && length % 2 == 0 && strspn(text, "0123456789abcdefABCDEF") == length;
}

static enum binary_match match_of(const struct elf *elf, const struct binary_identity *wanted)
{
    char hex[2 * ELF_BUILD_ID_MAX + 1], htlhash[33];
    struct build_id id;
    elf_build_id(elf, &id, NULL);
    image_hex(id.bytes, id.size, hex);
    if (is_hex(wanted->build_id))
        return strcasecmp(hex, wanted->build_id) == 0 ? BINARY_SAME : BINARY_OTHER;
    if (!wanted->htlhash || !*wanted->htlhash)
        return BINARY_PERHAPS;
    bool same = image_htlhash(elf, htlhash) == 0 && strcasecmp(htlhash, wanted->htlhash) == 0;
    return same ? BINARY_SAME : BINARY_OTHER;
}

/* Takes over the open image; loads what it and its debug file have. */
static struct binary *load(const struct elf *image, const char *path)
{
    struct binary *binary = calloc(1, sizeof(*binary));
    if (!binary) {
        elf_close((struct elf *)image);
        return NULL;
    }
    binary->image = *image;
    binary->only_debug = !elf_section(image, ".text");
    strings_init(&binary->strings, NULL);
    dwarf_index_init(&binary->index, NULL);
    bool whole = elf_section_of_type(image, SHT_SYMTAB) && elf_section(image, ".debug_info");
    binary->has_debug =
        !whole && debugfile_open(image, path, DEBUGFILE_ROOT, &binary->debug) == 0;
    binary->symtab_in_debug = binary->has_debug && !elf_section_of_type(image, SHT_SYMTAB) &&
                              elf_section_of_type(&binary->debug, SHT_SYMTAB);
    binary->has_symtab =
        symtab_load(&binary->symtab, binary->symtab_in_debug ? &binary->debug : &binary->image,
                    NULL) == 0;
    binary->has_dwarf =
        dwarf_open(&binary->dwarf, &binary->image, &binary->index) ||
        (binary->has_debug && dwarf_open(&binary->dwarf, &binary->debug, &binary->index));
    return binary;
}

struct binary *binary_open(const char *path, const struct binary_identity *identity,
                           enum binary_match *match)
{
    struct elf image;
    *match = BINARY_OTHER;
    if (open_file(path, &image) != 0)
        return NULL;
    *match = match_of(&image, identity);
    if (*match != BINARY_OTHER)
        return load(&image, path);
    elf_close(&image);
    return NULL;
}

struct binary *binary_open_debug(const char *root, const char *build_id)
{
    char path[PATH_MAX], id[2 * ELF_BUILD_ID_MAX + 1];
    const struct binary_identity identity = {.build_id = id};
    struct elf image;
    if (!is_hex(build_id) || strlen(build_id) < 4 || strlen(build_id) >= sizeof(id))
        return NULL;
    for (size_t i = 0; i <= strlen(build_id); i++)
        id[i] = (char)tolower((unsigned char)build_id[i]);
    int length = snprintf(path, sizeof(path), "%s/.build-id/%.2s/%s.debug", root, id, id + 2);
    if (length < 0 || (size_t)length >= sizeof(path) || open_file(path, &image) != 0)
        return NULL;
    if (match_of(&image, &identity) == BINARY_SAME)
        return load(&image, path);
    elf_close(&image);
    return NULL;
}

void binary_free(struct binary *binary)
{
    if (!binary)
        return;
    if (binary->has_dwarf)
        dwarf_close(&binary->dwarf);
    dwarf_index_free(&binary->index);
    if (binary->has_symtab)
        symtab_free(&binary->symtab);
    strings_free(&binary->strings);
    if (binary->has_debug)
        elf_close(&binary->debug);
    elf_close(&binary->image);
    free(binary);
}

uint64_t binary_vaddr(const struct binary *binary, uint64_t file_offset)
{
    for (size_t i = 0; i < binary->image.header.e_phnum && !binary->only_debug; i++) {
        const Elf64_Phdr *segment = &binary->image.segments[i];
        if (segment->p_type == PT_LOAD && file_offset >= segment->p_offset &&
            file_offset - segment->p_offset < segment->p_filesz)
            return file_offset - segment->p_offset + segment->p_vaddr;
    }
    return file_offset + elf_base(&binary->image); /* as linkers lay out code */
}

static const char *readable(struct binary *binary, const char *name)
{
    char text[DEMANGLE_OUTPUT];
    demangle(name, text, sizeof(text));
    return strings_keep(&binary->strings, text);
}

static bool find_symbol(struct binary *binary, uint64_t vaddr, struct symbol_line *line)
{
    const struct elf *table = binary->symtab_in_debug ? &binary->debug : &binary->image;
    struct code_range range = CODE_RANGE_ALL;
    char name[DEMANGLE_OUTPUT];
    *line = (struct symbol_line){0};
    if (!binary->has_symtab ||
        symtab_find(&binary->symtab, table, vaddr, name, sizeof(name), &range) != 0)
        return false;
    line->linkage = strings_keep(&binary->strings, name);
    line->name = readable(binary, name);
    return line->name != NULL;
}

/* The function itself has its name of the symbol table, where there is one: DWARF's may lack
 * the class. */
size_t binary_find(struct binary *binary, uint64_t vaddr,
                   struct symbol_line lines[SYMBOL_MAX_INLINED])
{
    struct symbol_line function;
    bool has_symbol = find_symbol(binary, vaddr, &function);
    size_t count = 0, named = 0;
    if (binary->has_dwarf)
        count = dwarf_find(&binary->dwarf, vaddr, &binary->strings, lines, SYMBOL_MAX_INLINED);
    for (size_t i = 0; i < count; i++) {
        struct symbol_line line = lines[i];
        if (i + 1 == count && has_symbol) {
            line.name = function.name;
            line.linkage = function.linkage;
        } else if (line.linkage || line.name) {
            line.name = readable(binary, line.linkage ? line.linkage : line.name);
        }
        if (line.name)
            lines[named++] = line;
    }
    if (named == 0 && has_symbol)
        lines[named++] = function;
    return named;
}
