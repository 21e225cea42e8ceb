/* Asks everything of one ELF image in memory, whatever it holds: for the tests with broken
 * files and for the fuzzer. */
#ifndef CPROF_TESTS_SYMBOL_ELF_WALK_H
#define CPROF_TESTS_SYMBOL_ELF_WALK_H

#include <stddef.h>
#include <stdint.h>

#include "symbol/codemap.h"
#include "symbol/dwarf.h"
#include "symbol/image.h"
#include "symbol/symtab.h"

#define ELF_WALK_LOOKUPS 24

static inline void elf_walk(const void *image, size_t size)
{
    struct budget budget;
    struct elf elf;
    struct symtab symtab;
    struct dwarf_index index;
    struct dwarf dwarf;
    struct strings strings;
    struct build_id id;
    char text[256], hash[33];
    if (elf_open_image(&elf, image, size))
        return;
    budget_init(&budget, 64u << 20);
    dwarf_index_init(&index, &budget);
    strings_init(&strings, &budget);
    bool has_lines = dwarf_open(&dwarf, &elf, &index);
    bool has_names = !symtab_load(&symtab, &elf, &budget);
    elf_build_id(&elf, &id, NULL);
    image_htlhash(&elf, hash);
    for (size_t i = 0; i < ELF_WALK_LOOKUPS; i++) {
        uint64_t vaddr = elf_base(&elf) + i * 997, start;
        struct symbol_line lines[SYMBOL_MAX_INLINED];
        struct code_range range = CODE_RANGE_ALL;
        if (has_names && i < symtab.count)
            vaddr = symtab.base + symtab.functions[symtab.count / ELF_WALK_LOOKUPS * i].offset;
        if (has_names)
            symtab_find(&symtab, &elf, vaddr, text, sizeof text, &range);
        codemap_start(&elf, vaddr, &start, &range);
        codemap_stub(&elf, elf_base(&elf) + 4096 + i * 16, text, sizeof text, &range);
        if (has_lines)
            dwarf_find(&dwarf, vaddr, &strings, lines, SYMBOL_MAX_INLINED);
    }
    if (has_names)
        symtab_free(&symtab);
    if (has_lines)
        dwarf_close(&dwarf);
    dwarf_index_free(&index);
    strings_free(&strings);
    elf_close(&elf);
}

#endif
