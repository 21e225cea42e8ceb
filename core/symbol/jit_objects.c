#include "symbol/jit_objects.h"

#include <stdlib.h>
#include <string.h>

#include "cprof/readable.h"
#include "symbol/elf.h"
#include "symbol/image.h"

#define ENTRIES_MAX 4096             /* of a list that are read */
#define OBJECT_MAX ((size_t)4 << 20) /* bytes of an object file */
#define BLOCK ((size_t)64 << 10)
#define BATCH 256 /* symbols read at a time */
#define NAME_BYTES 1024
#define FIRST_CAPACITY 256
#define MAX_NESTING 16 /* functions that begin below an address and do not reach it */

static const char head_name[] = "__jit_debug_descriptor";

/* As GDB's manual declares them. */
struct descriptor {
    uint32_t version, action;
    uint64_t relevant, first;
};
struct entry {
    uint64_t next, former, object, size;
};

void jit_objects_init(struct jit_objects *objects, struct budget *budget)
{
    *objects = (struct jit_objects){.budget = budget};
}

static size_t bytes_of(const char *name)
{
    return strlen(name) + 1;
}

static void forget_functions(struct jit_objects *objects)
{
    for (size_t i = 0; i < objects->count; i++) {
        budget_give(objects->budget, bytes_of(objects->functions[i].name));
        free(objects->functions[i].name);
    }
    budget_give(objects->budget, objects->capacity * sizeof *objects->functions);
    free(objects->functions);
    objects->functions = NULL;
    objects->count = objects->capacity = 0;
}

void jit_objects_free(struct jit_objects *objects)
{
    forget_functions(objects);
}

/* ---- where the lists begin ---- */

/* The offset of a name in a string table, or 0. It may be the end of a longer one. */
static uint32_t find_text(const struct elf *elf, const Elf64_Shdr *strings, const char *name)
{
    size_t length = strlen(name) + 1;
    char *block = malloc(BLOCK);
    uint64_t found = 0;
    for (uint64_t at = 0; block && !found && at < strings->sh_size; at += BLOCK - length) {
        uint64_t left = strings->sh_size - at;
        ssize_t got = elf_read_some(elf, strings->sh_offset + at, block,
                                    left < BLOCK ? (size_t)left : BLOCK);
        const char *text = got > 0 ? memmem(block, (size_t)got, name, length) : NULL;
        if (text)
            found = at + (uint64_t)(text - block);
        if (got < (ssize_t)BLOCK)
            break;
    }
    free(block);
    return found < UINT32_MAX ? (uint32_t)found : 0;
}

/* The vaddr of the symbol whose name has that offset, or 0. */
static uint64_t find_symbol(const struct elf *elf, const Elf64_Shdr *table, uint32_t name)
{
    uint64_t total = table->sh_size / sizeof(Elf64_Sym);
    for (uint64_t first = 0; first < total; first += BATCH) {
        Elf64_Sym symbols[BATCH];
        size_t count = total - first < BATCH ? (size_t)(total - first) : BATCH;
        if (elf_read(elf, table->sh_offset + first * sizeof *symbols, symbols,
                     count * sizeof *symbols))
            return 0;
        for (size_t i = 0; i < count; i++)
            if (symbols[i].st_name == name && symbols[i].st_shndx != SHN_UNDEF)
                return symbols[i].st_value;
    }
    return 0;
}

static uint64_t find_object(const struct elf *elf, uint32_t type)
{
    const Elf64_Shdr *table = elf_section_of_type(elf, type);
    if (!table || table->sh_link >= elf->section_count ||
        elf->sections[table->sh_link].sh_type != SHT_STRTAB)
        return 0;
    uint32_t name = find_text(elf, &elf->sections[table->sh_link], head_name);
    return name ? find_symbol(elf, table, name) : 0;
}

static void add_list(struct jit_objects *objects, uintptr_t head)
{
    for (size_t i = 0; i < objects->list_count; i++)
        if (objects->lists[i].head == head)
            return;
    if (objects->list_count < JIT_LISTS_MAX)
        objects->lists[objects->list_count++] = (struct jit_list){.head = head};
}

static void search_module(struct jit_objects *objects, const struct module *module)
{
    struct elf elf;
    if (image_open(module, &elf))
        return;
    uint64_t vaddr = find_object(&elf, SHT_SYMTAB);
    if (!vaddr)
        vaddr = find_object(&elf, SHT_DYNSYM);
    if (vaddr)
        add_list(objects, (uintptr_t)vaddr + module->bias);
    elf_close(&elf);
}

static void search_modules(struct jit_objects *objects, const struct module_map *map)
{
    uint64_t searched = objects->searched;
    for (size_t i = 0; i < map->count; i++) {
        const struct module *module = map->modules[i];
        if (module->serial <= searched)
            continue;
        if (module->path[0])
            search_module(objects, module);
        if (module->serial > objects->searched)
            objects->searched = module->serial;
    }
    objects->map = map->serial;
}

/* ---- what is in them ---- */

static bool add(struct jit_objects *objects, uint64_t start, uint32_t size, const char *name)
{
    if (objects->count == objects->capacity) {
        size_t capacity = objects->capacity ? objects->capacity * 2 : FIRST_CAPACITY;
        size_t more = (capacity - objects->capacity) * sizeof *objects->functions;
        if (capacity > JIT_FUNCTIONS_MAX || !budget_take(objects->budget, more))
            return false;
        struct jit_function *functions =
            realloc(objects->functions, capacity * sizeof *functions);
        if (!functions) {
            budget_give(objects->budget, more);
            return false;
        }
        objects->functions = functions;
        objects->capacity = capacity;
    }
    if (!budget_take(objects->budget, bytes_of(name)))
        return false;
    char *copy = strdup(name);
    if (!copy) {
        budget_give(objects->budget, bytes_of(name));
        return false;
    }
    objects->functions[objects->count++] =
        (struct jit_function){.start = start, .size = size, .age = objects->age, .name = copy};
    return true;
}

/* Its sections' addresses are where they were loaded; its symbols' are within their sections.
 */
static void add_symbol(struct jit_objects *objects, const struct elf *elf, uint64_t names,
                       const Elf64_Sym *symbol)
{
    char name[NAME_BYTES];
    if (ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || symbol->st_shndx == SHN_UNDEF ||
        symbol->st_shndx >= elf->section_count || symbol->st_size == 0 ||
        symbol->st_size > UINT32_MAX)
        return;
    const Elf64_Shdr *section = &elf->sections[symbol->st_shndx];
    uint64_t within = elf->header.e_type == ET_REL ? section->sh_addr : 0;
    if (section->sh_addr != 0 &&
        !elf_read_string(elf, names + symbol->st_name, name, sizeof name) && name[0])
        add(objects, within + symbol->st_value, (uint32_t)symbol->st_size, name);
}

static void add_symbols(struct jit_objects *objects, const struct elf *elf)
{
    const Elf64_Shdr *table = elf_section_of_type(elf, SHT_SYMTAB);
    if (!table || table->sh_link >= elf->section_count)
        return;
    uint64_t names = elf->sections[table->sh_link].sh_offset;
    for (uint64_t at = 0; at + sizeof(Elf64_Sym) <= table->sh_size; at += sizeof(Elf64_Sym)) {
        Elf64_Sym symbol;
        if (elf_read(elf, table->sh_offset + at, &symbol, sizeof symbol))
            return;
        add_symbol(objects, elf, names, &symbol);
    }
}

static void add_object(struct jit_objects *objects, const struct entry *entry)
{
    struct elf elf;
    if (entry->size == 0 || entry->size > OBJECT_MAX)
        return;
    void *image = malloc((size_t)entry->size);
    if (image && cprof_read_all(image, (uintptr_t)entry->object, (size_t)entry->size) &&
        !elf_open_image(&elf, image, (size_t)entry->size)) {
        objects->age++;
        add_symbols(objects, &elf);
        elf_close(&elf);
    }
    free(image);
}

/* The entries before `known`, the newest first. False: that was not met. */
static bool read_entries(uint64_t newest, uint64_t known, struct entry *entries, size_t *count)
{
    uint64_t at = newest;
    *count = 0;
    while (at != known && at != 0 && *count < ENTRIES_MAX &&
           cprof_read_all(&entries[*count], (uintptr_t)at, sizeof *entries)) {
        at = entries[*count].next;
        ++*count;
    }
    return at == known;
}

static int by_start_then_age(const void *left, const void *right)
{
    const struct jit_function *a = left, *b = right;
    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    return a->age < b->age ? -1 : a->age > b->age;
}

/* What was registered since the last time. False: what was the newest then is there no more. */
static bool read_list(struct jit_objects *objects, struct jit_list *list)
{
    struct descriptor head;
    size_t count = 0;
    if (!cprof_read_all(&head, list->head, sizeof head) || head.version != 1 ||
        head.first == list->newest)
        return true;
    struct entry *entries = malloc(ENTRIES_MAX * sizeof *entries);
    if (!entries)
        return true;
    bool met = read_entries(head.first, list->newest, entries, &count) || list->newest == 0;
    for (size_t i = count; met && i-- > 0;)
        add_object(objects, &entries[i]);
    free(entries);
    list->newest = head.first;
    if (met && count > 0 && objects->count > 0)
        qsort(objects->functions, objects->count, sizeof *objects->functions,
              by_start_then_age);
    return met;
}

static bool read_lists(struct jit_objects *objects)
{
    bool met = true;
    for (size_t i = 0; i < objects->list_count; i++)
        met &= read_list(objects, &objects->lists[i]);
    return met;
}

static void read_anew(struct jit_objects *objects)
{
    forget_functions(objects);
    for (size_t i = 0; i < objects->list_count; i++)
        objects->lists[i].newest = 0;
    read_lists(objects);
}

/* ---- looking up ---- */

/* The last function of those that begin at or below the address, and 1. */
static size_t last_below(const struct jit_objects *objects, uintptr_t address)
{
    size_t low = 0, high = objects->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (objects->functions[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const char *jit_objects_find(struct jit_objects *objects, const struct module_map *map,
                             uintptr_t address)
{
    const struct jit_function *latest = NULL;
    if (objects->map != map->serial)
        search_modules(objects, map);
    if (!read_lists(objects))
        read_anew(objects);
    for (size_t i = last_below(objects, address), depth = 0; i-- > 0 && depth < MAX_NESTING;
         depth++) {
        const struct jit_function *function = &objects->functions[i];
        if (address - function->start < function->size &&
            (!latest || function->age > latest->age))
            latest = function;
    }
    return latest ? latest->name : NULL;
}
