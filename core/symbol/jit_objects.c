#include "symbol/jit_objects.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "cprof/readable.h"
#include "symbol/elf.h"
#include "symbol/image.h"

#define ENTRIES_MAX 4096             /* of a list that are read */
#define OBJECT_MAX ((size_t)4 << 20) /* bytes of an object file */
#define BLOCK ((size_t)64 << 10)
#define BATCH 256 /* symbols read at a time */
#define NAME_BYTES 1024
#define FIRST_CAPACITY 256
#define PROOF 2048 /* bytes at an object's end, where its section headers are */
#define CODES_OF_OBJECT 8
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
struct jit_entry_copy {
    uint64_t address;
    struct entry says;
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
    budget_give(objects->budget, objects->code_capacity * sizeof *objects->codes);
    free(objects->codes);
    objects->codes = NULL;
    objects->code_count = objects->code_capacity = 0;
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

/* Room for one item more. */
static bool grow(struct jit_objects *objects, void **items, size_t count, size_t *capacity,
                 size_t size)
{
    if (count < *capacity)
        return true;
    size_t wanted = *capacity ? *capacity * 2 : FIRST_CAPACITY;
    size_t more = (wanted - *capacity) * size;
    if (wanted > JIT_FUNCTIONS_MAX || !budget_take(objects->budget, more))
        return false;
    void *grown = realloc(*items, wanted * size);
    if (!grown) {
        budget_give(objects->budget, more);
        return false;
    }
    *items = grown;
    *capacity = wanted;
    return true;
}

static bool add(struct jit_objects *objects, uint64_t start, uint32_t size, const char *name)
{
    if (!grow(objects, (void **)&objects->functions, objects->count, &objects->capacity,
              sizeof *objects->functions) ||
        !budget_take(objects->budget, bytes_of(name)))
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

static bool is_loaded_code(const Elf64_Shdr *section)
{
    return (section->sh_flags & SHF_EXECINSTR) && section->sh_addr != 0 &&
           section->sh_size != 0 && section->sh_size <= UINT64_MAX - section->sh_addr;
}

/* What an object says of its code; `count` of the most that there is room for. */
static size_t codes_of(const struct elf *elf, const struct jit_entry_copy *entry,
                       struct jit_code codes[CODES_OF_OBJECT])
{
    const Elf64_Shdr *unwind = elf_section(elf, ".eh_frame");
    bool unwinds = unwind && unwind->sh_addr != 0;
    size_t count = 0;
    for (size_t i = 0; i < elf->section_count && count < CODES_OF_OBJECT; i++) {
        const Elf64_Shdr *section = &elf->sections[i];
        if (is_loaded_code(section))
            codes[count++] = (struct jit_code){.start = section->sh_addr,
                                               .limit = section->sh_addr + section->sh_size,
                                               .eh_frame = unwinds ? unwind->sh_addr : 0,
                                               .eh_frame_size = unwinds ? unwind->sh_size : 0,
                                               .entry = entry->address,
                                               .object = entry->says.object,
                                               .size = entry->says.size};
    }
    return count;
}

static void add_codes(struct jit_objects *objects, const struct elf *elf,
                      const struct jit_entry_copy *entry)
{
    struct jit_code codes[CODES_OF_OBJECT];
    size_t count = codes_of(elf, entry, codes);
    for (size_t i = 0; i < count; i++) {
        codes[i].age = objects->age;
        if (grow(objects, (void **)&objects->codes, objects->code_count,
                 &objects->code_capacity, sizeof *objects->codes))
            objects->codes[objects->code_count++] = codes[i];
    }
}

/* Its image, which the caller frees after elf_close(); NULL: it can't be read. */
static void *open_object(const struct jit_entry_copy *entry, struct elf *elf)
{
    size_t size = (size_t)entry->says.size;
    if (entry->says.size == 0 || entry->says.size > OBJECT_MAX)
        return NULL;
    void *image = malloc(size);
    if (image && cprof_read_all(image, (uintptr_t)entry->says.object, size) &&
        !elf_open_image(elf, image, size))
        return image;
    free(image);
    return NULL;
}

static void add_object(struct jit_objects *objects, const struct jit_entry_copy *entry)
{
    struct elf elf;
    void *image = open_object(entry, &elf);
    if (!image)
        return;
    objects->age++;
    add_symbols(objects, &elf);
    add_codes(objects, &elf, entry);
    elf_close(&elf);
    free(image);
}

/* The entries before `known`, the newest first. False: that was not met. */
static bool read_entries(uint64_t newest, uint64_t known, struct jit_entry_copy *entries,
                         size_t *count)
{
    uint64_t at = newest;
    *count = 0;
    while (at != known && at != 0 && *count < ENTRIES_MAX &&
           cprof_read_all(&entries[*count].says, (uintptr_t)at, sizeof entries->says)) {
        entries[*count].address = at;
        at = entries[*count].says.next;
        ++*count;
    }
    return at == known;
}

/* What an entry is known by: another one may have come to its very place, with its object where
 * the other's was. */
static uint64_t prove(uint64_t address)
{
    struct entry entry;
    uint8_t end[PROOF];
    if (address == 0 || !cprof_read_all(&entry, (uintptr_t)address, sizeof entry))
        return 0;
    size_t size = entry.size < PROOF ? (size_t)entry.size : PROOF;
    uint64_t proof = hash_combine(hash_combine(1, entry.object), entry.size);
    bool read = cprof_read_all(end, (uintptr_t)(entry.object + entry.size - size), size);
    return read ? hash_combine(proof, hash_bytes(end, size)) : proof;
}

/* Its first entry, if that is another than before. */
static bool is_read(const struct jit_list *list, struct descriptor *head, uint64_t *proof)
{
    if (!cprof_read_all(head, list->head, sizeof *head) || head->version != 1)
        return true;
    *proof = prove(head->first);
    return head->first == list->newest && *proof == list->proof;
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
    uint64_t proof;
    size_t count = 0;
    if (is_read(list, &head, &proof))
        return true;
    struct jit_entry_copy *entries = malloc(ENTRIES_MAX * sizeof *entries);
    if (!entries)
        return true;
    bool met = read_entries(head.first, list->newest, entries, &count) || list->newest == 0;
    met = met && (list->newest == 0 || prove(list->newest) == list->proof);
    for (size_t i = count; met && i-- > 0;)
        add_object(objects, &entries[i]);
    free(entries);
    list->newest = head.first;
    list->proof = proof;
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

static void read_all(struct jit_objects *objects, const struct module_map *map)
{
    if (objects->map != map->serial)
        search_modules(objects, map);
    if (!read_lists(objects))
        read_anew(objects);
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

const struct jit_function *jit_objects_function(const struct jit_objects *objects,
                                                uintptr_t address)
{
    const struct jit_function *latest = NULL;
    for (size_t i = last_below(objects, address), depth = 0; i-- > 0 && depth < MAX_NESTING;
         depth++) {
        const struct jit_function *function = &objects->functions[i];
        if (address - function->start < function->size &&
            (!latest || function->age > latest->age))
            latest = function;
    }
    return latest;
}

const char *jit_objects_find(struct jit_objects *objects, const struct module_map *map,
                             uintptr_t address)
{
    read_all(objects, map);
    const struct jit_function *function = jit_objects_function(objects, address);
    return function ? function->name : NULL;
}

/* ---- what is registered ---- */

static size_t read_live(const struct jit_objects *objects, struct jit_entry_copy *entries)
{
    size_t total = 0;
    for (size_t i = 0; i < objects->list_count; i++) {
        struct descriptor head;
        size_t count = 0;
        if (cprof_read_all(&head, objects->lists[i].head, sizeof head) && head.version == 1)
            (void)read_entries(head.first, 0, entries + total, &count);
        total += count;
    }
    return total;
}

static struct jit_entry_copy *room_for_live(const struct jit_objects *objects)
{
    return malloc(objects->list_count * ENTRIES_MAX * sizeof(struct jit_entry_copy));
}

bool jit_live_read(struct jit_live *live, struct jit_objects *objects,
                   const struct module_map *map)
{
    *live = (struct jit_live){0};
    read_all(objects, map);
    if (objects->code_count == 0)
        return false;
    live->entries = room_for_live(objects);
    live->count = live->entries ? read_live(objects, live->entries) : 0;
    return live->entries != NULL;
}

void jit_live_free(struct jit_live *live)
{
    free(live->entries);
    *live = (struct jit_live){0};
}

static const struct jit_entry_copy *find_live(const struct jit_live *live,
                                              const struct jit_code *code)
{
    for (size_t i = 0; i < live->count; i++) {
        const struct jit_entry_copy *entry = &live->entries[i];
        if (entry->address == code->entry && entry->says.object == code->object &&
            entry->says.size == code->size)
            return entry;
    }
    return NULL;
}

/* Does the object still say so? */
static bool confirm(const struct jit_entry_copy *entry, const struct jit_code *code)
{
    struct jit_code codes[CODES_OF_OBJECT];
    struct elf elf;
    void *image = open_object(entry, &elf);
    bool same = false;
    if (!image)
        return false;
    for (size_t i = codes_of(&elf, entry, codes); i-- > 0 && !same;)
        same = codes[i].start == code->start && codes[i].limit == code->limit &&
               codes[i].eh_frame == code->eh_frame &&
               codes[i].eh_frame_size == code->eh_frame_size;
    elf_close(&elf);
    free(image);
    return same;
}

bool jit_live_code(const struct jit_live *live, struct jit_objects *objects, uintptr_t address,
                   struct jit_code *code)
{
    const struct jit_entry_copy *of = NULL;
    for (size_t i = objects->code_count; i-- > 0 && !of;) {
        const struct jit_code *at = &objects->codes[i];
        if (address - at->start >= at->limit - at->start)
            continue;
        of = find_live(live, at);
        *code = *at;
    }
    return of && confirm(of, code);
}

bool jit_live_is_same(const struct jit_live *live, const struct jit_objects *objects)
{
    struct jit_entry_copy *now = room_for_live(objects);
    size_t count = now ? read_live(objects, now) : 0;
    bool same =
        now && count == live->count && memcmp(now, live->entries, count * sizeof *now) == 0;
    free(now);
    return same;
}
