#include "symbol/symbolizer.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "symbol/codemap.h"
#include "symbol/debugfile.h"
#include "symbol/demangle.h"
#include "symbol/dwarf.h"
#include "symbol/function_cache.h"
#include "symbol/image.h"
#include "symbol/jit_objects.h"
#include "symbol/perfmap.h"
#include "symbol/strings.h"
#include "symbol/symtab.h"

#define NAME_MAX_BYTES DEMANGLE_OUTPUT
#define OPEN_MODULES 8
#define SYMBOLS_SHARE 4       /* of the budget: they are kept for as long as their modules */
#define KEPT_BYTES (4u << 20) /* of DWARF units, between batches: at most so much, */
#define KEPT_SHARE 4          /* and 1/KEPT_SHARE of our share */
#define KEPT_RESTS                                                                             \
    240                    /* a minute of a busy collector's without a lookup: what is kept of \
                              a module's files is given up then */
#define RESTS_AT_A_TIME 16 /* looked at for that */

/* What is remembered of a module. */
struct module_names {
    uint64_t serial;
    struct strings strings;
    struct symtab symtab;
    struct dwarf_index index;
    struct function_cache functions;
    bool loaded;           /* symtab is settled */
    bool symtab_in_debug;  /* it comes from the debug file */
    bool lacks_debug_file; /* one was looked for */
    bool lacks_dwarf;
    bool identified;
    struct module_identity identity;
};

/* The files of one module, open until the batch is over; their tables are kept for the next. A
 * process with hundreds of modules lends us two descriptors each for OPEN_MODULES of them. */
struct open_files {
    struct module_names *names; /* NULL: none */
    uint64_t last_used;
    uint64_t rested; /* the symbolizer's rest since when they are closed; 0: they are open */
    bool has_image, has_debug, has_dwarf;
    bool keeps_image, keeps_debug; /* at rest: elf_rest() */
    struct elf image, debug;
    struct dwarf dwarf; /* of one of the two */
};

struct symbolizer {
    struct budget budget; /* a share */
    const char *debug_root;
    struct module_names **modules; /* by serial */
    size_t count, capacity;
    struct open_files files[OPEN_MODULES];
    uint64_t uses;        /* of open files: the clock of last_used */
    uint64_t rests;       /* symbolizer_rest()s */
    uint64_t rested_uses; /* at the last of them */
    struct perfmap perfmap, jitdump;
    struct jit_objects jit_objects;
    char perfmap_path[64];
    char jitdump_path[PATH_MAX]; /* "": none is mapped */
};

struct symbolizer *symbolizer_new(struct budget *budget)
{
    struct symbolizer *symbolizer = calloc(1, sizeof *symbolizer);
    if (!symbolizer)
        return NULL;
    budget_init_share(&symbolizer->budget, budget, SYMBOLS_SHARE);
    symbolizer->debug_root = DEBUGFILE_ROOT;
    perfmap_init(&symbolizer->perfmap, &symbolizer->budget);
    perfmap_init(&symbolizer->jitdump, &symbolizer->budget);
    jit_objects_init(&symbolizer->jit_objects, &symbolizer->budget);
    return symbolizer;
}

void symbolizer_set_debug_root(struct symbolizer *symbolizer, const char *root)
{
    symbolizer->debug_root = root;
}

static void close_images(struct open_files *files)
{
    if (files->has_image || files->keeps_image)
        elf_close(&files->image);
    if (files->has_debug || files->keeps_debug)
        elf_close(&files->debug);
    files->has_image = files->has_debug = files->keeps_image = files->keeps_debug = false;
}

static void rest_images(struct open_files *files)
{
    if (files->has_image)
        files->keeps_image = elf_rest(&files->image);
    if (files->has_debug)
        files->keeps_debug = elf_rest(&files->debug);
    files->has_image = files->has_debug = false;
}

static void resume_images(struct open_files *files)
{
    files->has_image = files->keeps_image && elf_resume(&files->image);
    files->has_debug = files->keeps_debug && elf_resume(&files->debug);
    files->keeps_image = files->keeps_debug = false;
}

static void close_files(struct open_files *files)
{
    if (files->has_dwarf)
        dwarf_close(&files->dwarf);
    close_images(files);
    files->has_dwarf = false;
    files->names = NULL;
    files->last_used = 0;
    files->rested = 0;
}

/* The files that were used last before the clock's `before`, or NULL. */
static struct open_files *newest_files(struct symbolizer *symbolizer, uint64_t before)
{
    struct open_files *newest = NULL;
    for (size_t i = 0; i < OPEN_MODULES; i++) {
        struct open_files *files = &symbolizer->files[i];
        if (files->names && files->last_used < before &&
            (!newest || files->last_used > newest->last_used))
            newest = files;
    }
    return newest;
}

static size_t room_to_keep(const struct symbolizer *symbolizer)
{
    size_t limit = symbolizer->budget.limit;
    return limit != 0 && limit / KEPT_SHARE < KEPT_BYTES ? limit / KEPT_SHARE : KEPT_BYTES;
}

/* Closes the files of one module, and what is kept of them after too long. Returns the bytes of
 * DWARF that stay. */
static size_t rest_files(struct symbolizer *symbolizer, struct open_files *files, size_t room)
{
    size_t kept = files->has_dwarf ? dwarf_rest(&files->dwarf, room) : 0;
    if (!files->rested) {
        rest_images(files);
        files->rested = symbolizer->rests;
    }
    bool keeps = kept || files->keeps_image || files->keeps_debug;
    if (!keeps || symbolizer->rests - files->rested > KEPT_RESTS)
        close_files(files);
    return kept;
}

static void rest_all_files(struct symbolizer *symbolizer)
{
    size_t room = room_to_keep(symbolizer);
    struct open_files *files = newest_files(symbolizer, UINT64_MAX);
    while (files) {
        uint64_t used = files->last_used;
        room -= rest_files(symbolizer, files, room);
        files = newest_files(symbolizer, used);
    }
}

void symbolizer_rest(struct symbolizer *symbolizer)
{
    symbolizer->rests++;
    if (symbolizer->uses != symbolizer->rested_uses || symbolizer->rests % RESTS_AT_A_TIME == 0)
        rest_all_files(symbolizer);
    symbolizer->rested_uses = symbolizer->uses;
    perfmap_rest(&symbolizer->perfmap);
    perfmap_rest(&symbolizer->jitdump);
}

static void free_names(struct symbolizer *symbolizer, struct module_names *names)
{
    for (size_t i = 0; i < OPEN_MODULES; i++) {
        if (symbolizer->files[i].names == names)
            close_files(&symbolizer->files[i]);
    }
    symtab_free(&names->symtab);
    dwarf_index_free(&names->index);
    function_cache_free(&names->functions);
    strings_free(&names->strings);
    budget_give(&symbolizer->budget, sizeof *names);
    free(names);
}

void symbolizer_free(struct symbolizer *symbolizer)
{
    if (!symbolizer)
        return;
    for (size_t i = 0; i < symbolizer->count; i++)
        free_names(symbolizer, symbolizer->modules[i]);
    perfmap_free(&symbolizer->perfmap);
    perfmap_free(&symbolizer->jitdump);
    jit_objects_free(&symbolizer->jit_objects);
    budget_give(&symbolizer->budget, symbolizer->capacity * sizeof *symbolizer->modules);
    free(symbolizer->modules);
    free(symbolizer);
}

/* The index of a module, or the one where it belongs. */
static size_t find_serial(const struct symbolizer *symbolizer, uint64_t serial)
{
    size_t low = 0, high = symbolizer->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (symbolizer->modules[middle]->serial < serial)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool has_serial(const struct symbolizer *symbolizer, size_t at, uint64_t serial)
{
    return at < symbolizer->count && symbolizer->modules[at]->serial == serial;
}

void symbolizer_forget(struct symbolizer *symbolizer, uint64_t module_serial)
{
    size_t at = find_serial(symbolizer, module_serial);
    if (!has_serial(symbolizer, at, module_serial))
        return;
    struct module_names **slot = &symbolizer->modules[at];
    free_names(symbolizer, *slot);
    symbolizer->count--;
    memmove(slot, slot + 1, (symbolizer->count - at) * sizeof *slot);
}

static bool is_mapped(const struct module_map *map, uint64_t serial)
{
    for (size_t i = 0; i < map->count; i++)
        if (map->modules[i]->serial == serial)
            return true;
    return false;
}

/* Whoever writes a jitdump maps its begin as code, so that perf sees where it is. */
static void find_jitdump(struct symbolizer *symbolizer, const struct module_map *map)
{
    char name[32];
    snprintf(name, sizeof name, "/jit-%ld.dump", (long)getpid());
    for (size_t i = 0; i < map->count && symbolizer->jitdump_path[0] == '\0'; i++) {
        const char *path = map->modules[i]->path, *slash = strrchr(path, '/');
        if (slash && strcmp(slash, name) == 0 && strlen(path) < PATH_MAX)
            snprintf(symbolizer->jitdump_path, PATH_MAX, "%s", path);
    }
}

void symbolizer_keep(struct symbolizer *symbolizer, const struct module_map *map)
{
    find_jitdump(symbolizer, map);
    for (size_t i = symbolizer->count; i-- > 0;)
        if (!is_mapped(map, symbolizer->modules[i]->serial))
            symbolizer_forget(symbolizer, symbolizer->modules[i]->serial);
}

static bool make_room(struct symbolizer *symbolizer)
{
    size_t size = sizeof *symbolizer->modules;
    if (symbolizer->count < symbolizer->capacity)
        return true;
    size_t capacity = symbolizer->capacity ? symbolizer->capacity * 2 : 32;
    if (!budget_take(&symbolizer->budget, (capacity - symbolizer->capacity) * size))
        return false;
    struct module_names **modules = realloc(symbolizer->modules, capacity * size);
    if (!modules) {
        budget_give(&symbolizer->budget, (capacity - symbolizer->capacity) * size);
        return false;
    }
    symbolizer->modules = modules;
    symbolizer->capacity = capacity;
    return true;
}

/* What is known of a module; NULL when there is no memory to know anything. */
static struct module_names *names_of(struct symbolizer *symbolizer, uint64_t serial)
{
    size_t at = find_serial(symbolizer, serial);
    if (has_serial(symbolizer, at, serial))
        return symbolizer->modules[at];
    if (!make_room(symbolizer) ||
        !budget_take(&symbolizer->budget, sizeof(struct module_names)))
        return NULL;
    struct module_names *names = calloc(1, sizeof *names);
    if (!names) {
        budget_give(&symbolizer->budget, sizeof *names);
        return NULL;
    }
    names->serial = serial;
    names->symtab.budget = &symbolizer->budget;
    dwarf_index_init(&names->index, &symbolizer->budget);
    function_cache_init(&names->functions, &symbolizer->budget);
    strings_init(&names->strings, &symbolizer->budget);
    struct module_names **slot = &symbolizer->modules[at];
    memmove(slot + 1, slot, (symbolizer->count - at) * sizeof *slot);
    *slot = names;
    symbolizer->count++;
    return names;
}

/* Reads the symbols, once in a module's life. */
static void load(struct symbolizer *symbolizer, struct open_files *files,
                 const struct module *module)
{
    struct module_names *names = files->names;
    if (!files->has_image)
        return;
    names->symtab_in_debug = files->has_debug &&
                             !elf_section_of_type(&files->image, SHT_SYMTAB) &&
                             elf_section_of_type(&files->debug, SHT_SYMTAB);
    int error =
        symtab_load(&names->symtab, names->symtab_in_debug ? &files->debug : &files->image,
                    &symbolizer->budget);
    log_debug("symbols of %s: %zu functions%s%s%s", module->path, names->symtab.count,
              error ? ", " : "", error ? strerror(-error) : "",
              files->has_debug ? ", with a debug file" : "");
}

/* Looks for the debug file of an open image that lacks something; not again if there was
 * none the first time. */
static void open_debug_file(struct symbolizer *symbolizer, struct open_files *files,
                            const struct module *module)
{
    bool whole = elf_section_of_type(&files->image, SHT_SYMTAB) &&
                 elf_section(&files->image, ".debug_info");
    if (whole || module->path[0] != '/' || files->names->lacks_debug_file)
        return;
    files->has_debug =
        !debugfile_open(&files->image, module->path, symbolizer->debug_root, &files->debug);
    files->names->lacks_debug_file = !files->has_debug;
}

/* The slot of a module's files: where they are open already, or a free one, or the one used
 * longest ago, closed. */
static struct open_files *find_files(struct symbolizer *symbolizer,
                                     const struct module_names *names)
{
    struct open_files *oldest = &symbolizer->files[0];
    for (size_t i = 0; i < OPEN_MODULES; i++) {
        struct open_files *files = &symbolizer->files[i];
        if (files->names == names)
            return files;
        if (files->last_used < oldest->last_used)
            oldest = files;
    }
    close_files(oldest);
    return oldest;
}

/* Goes on with the units that were kept, if they are still those of one of the files. */
static void open_dwarf(struct open_files *files)
{
    if (files->has_dwarf && ((files->has_image && dwarf_resume(&files->dwarf, &files->image)) ||
                             (files->has_debug && dwarf_resume(&files->dwarf, &files->debug))))
        return;
    if (files->has_dwarf)
        dwarf_close(&files->dwarf);
    struct dwarf_index *index = &files->names->index;
    files->has_dwarf = (files->has_image && dwarf_open(&files->dwarf, &files->image, index)) ||
                       (files->has_debug && dwarf_open(&files->dwarf, &files->debug, index));
}

/* The open files of a module; with its symbols loaded. */
static struct open_files *open_module(struct symbolizer *symbolizer, struct module_names *names,
                                      const struct module *module)
{
    struct open_files *files = find_files(symbolizer, names);
    bool is_open = files->names && !files->rested;
    files->last_used = ++symbolizer->uses;
    files->rested = 0;
    if (is_open)
        return files;
    files->names = names;
    resume_images(files);
    if (!files->has_image) {
        close_images(files);
        files->has_image = !image_open(module, &files->image);
    }
    if (files->has_image && !files->has_debug)
        open_debug_file(symbolizer, files, module);
    if (!names->loaded)
        load(symbolizer, files, module);
    names->loaded = true;
    open_dwarf(files);
    names->lacks_dwarf = files->has_image && !files->has_dwarf;
    return files;
}

const struct module_identity *symbolizer_identity(struct symbolizer *symbolizer,
                                                  const struct module *module)
{
    static const struct module_identity nothing;
    struct module_names *names = names_of(symbolizer, module->serial);
    struct build_id id = {.size = 0};
    if (!names)
        return &nothing;
    if (names->identified)
        return &names->identity;
    names->identified = true;
    struct open_files *files = open_module(symbolizer, names, module);
    if (files->has_image) {
        elf_build_id(&files->image, &id, NULL);
        if (image_htlhash(&files->image, names->identity.htlhash))
            names->identity.htlhash[0] = '\0';
    } else if (module->path[0]) {
        image_mapped_build_id(module, &id);
    }
    image_hex(id.bytes, id.size, names->identity.build_id);
    return &names->identity;
}

static const char no_room[] = "[unknown]";

static const char *keep(struct module_names *names, const char *string)
{
    const char *kept = strings_keep(&names->strings, string);
    return kept ? kept : no_room;
}

static const char *keep_readable(struct module_names *names, const char *name)
{
    char readable[DEMANGLE_OUTPUT];
    demangle(name, readable, sizeof readable);
    return keep(names, readable);
}

/* By the symbol table. False: it does not know. */
static bool name_by_symbol(const struct open_files *files, uint64_t vaddr,
                           struct symbol_line *line, struct code_range *range)
{
    struct module_names *names = files->names;
    const struct elf *table = names->symtab_in_debug ? &files->debug : &files->image;
    bool has_table = names->symtab_in_debug ? files->has_debug : files->has_image;
    char name[NAME_MAX_BYTES];
    if (!has_table || symtab_find(&names->symtab, table, vaddr, name, sizeof name, range))
        return false;
    line->linkage = strings_keep(&names->strings, name);
    line->name = keep_readable(names, name);
    return true;
}

/* By the PLT stub it is in, else "module+0xoffset". */
static void name_by_place(const struct open_files *files, const struct module *module,
                          uint64_t vaddr, struct symbol *symbol, struct code_range *range)
{
    struct symbol_line *line = &symbol->lines[symbol->count - 1];
    struct module_names *names = files->names;
    char name[NAME_MAX_BYTES], text[NAME_MAX_BYTES + 8];
    uint64_t start = vaddr;
    if (files->has_image && !codemap_stub(&files->image, vaddr, name, sizeof name, range)) {
        char readable[DEMANGLE_OUTPUT];
        demangle(name, readable, sizeof readable);
        snprintf(text, sizeof text, "%s@plt", readable);
    } else {
        const char *slash = strrchr(module->path, '/');
        if (files->has_image && !codemap_start(&files->image, vaddr, &start, range))
            symbol->start = (uintptr_t)start + module->bias;
        snprintf(text, sizeof text, "%s+0x%llx", slash ? slash + 1 : module->path,
                 (unsigned long long)start);
    }
    line->name = keep(names, text);
}

static void name_generated(struct symbolizer *symbolizer, struct module_names *names,
                           uintptr_t address, struct symbol_line *line)
{
    char name[NAME_MAX_BYTES];
    snprintf(symbolizer->perfmap_path, sizeof symbolizer->perfmap_path, "/tmp/perf-%ld.map",
             (long)getpid());
    if (!perfmap_find(&symbolizer->perfmap, symbolizer->perfmap_path, address, name,
                      sizeof name) ||
        (symbolizer->jitdump_path[0] != '\0' &&
         !perfmap_find(&symbolizer->jitdump, symbolizer->jitdump_path, address, name,
                       sizeof name))) {
        line->name = keep_readable(names, name);
        line->linkage = line->name;
    } else {
        line->name = "[anonymous]";
    }
}

/* Cython makes several functions of one, and compilers inline them into each other: they become
 * one frame, with the line of the innermost. */
static void join_parts(struct symbol *symbol, const char *const raw[])
{
    size_t kept = 0;
    for (size_t i = 1; i < symbol->count; i++) {
        struct symbol_line *inner = &symbol->lines[kept], *outer = &symbol->lines[i];
        bool part = raw[i] != NULL && strncmp(raw[i], "__pyx_", 6) == 0 &&
                    inner->name != NULL && outer->name != NULL &&
                    strcmp(inner->name, outer->name) == 0;
        if (part)
            inner->linkage = outer->linkage;
        else
            symbol->lines[++kept] = *outer;
    }
    symbol->count = kept + 1;
}

/* Inlined functions and lines, where DWARF has them. The function itself keeps its name of the
 * symbol table: DWARF's may lack the class. */
static void add_source(struct open_files *files, uint64_t vaddr, struct symbol *symbol)
{
    struct module_names *names = files->names;
    const struct symbol_line function = symbol->lines[0];
    symbol->has_source = true;
    if (!files->has_dwarf)
        return;
    struct symbol_line found[SYMBOL_MAX_INLINED];
    const char *raw[SYMBOL_MAX_INLINED];
    size_t count = dwarf_find(&files->dwarf, vaddr, &names->strings, found, SYMBOL_MAX_INLINED);
    if (count == 0)
        return;
    for (size_t i = 0; i < count; i++) {
        struct symbol_line *line = &symbol->lines[i];
        *line = found[i];
        raw[i] = line->linkage ? line->linkage : line->name;
        line->name = raw[i] ? keep_readable(names, raw[i]) : i + 1 < count ? "[inlined]" : NULL;
    }
    symbol->count = count;
    if (function.name) {
        symbol->lines[count - 1].name = function.name;
        symbol->lines[count - 1].linkage = raw[count - 1] = function.linkage;
    }
    join_parts(symbol, raw);
}

/* As another address of the same function. */
static bool name_as_before(const struct module_names *names, const struct module *module,
                           uint64_t vaddr, struct symbol *symbol)
{
    const struct cached_function *known = function_cache_find(&names->functions, vaddr);
    if (!known)
        return false;
    symbol->lines[0].name = known->name;
    symbol->lines[0].linkage = known->linkage;
    symbol->start = known->nameless_start ? known->nameless_start + module->bias : 0;
    symbol->has_source = names->lacks_dwarf;
    return true;
}

/* For the function's other addresses: for all of it, unless others lie within. */
static void remember(struct module_names *names, const struct module *module, uint64_t vaddr,
                     const struct code_range *range, const struct symbol *symbol)
{
    const struct cached_function function = {
        .range = *range,
        .name = symbol->lines[0].name,
        .linkage = symbol->lines[0].linkage,
        .nameless_start = symbol->start ? symbol->start - module->bias : 0,
    };
    bool has_others = code_range_holds(range, vaddr) && range->limit - range->start > 1;
    if (has_others && function.name != no_room)
        function_cache_add(&names->functions, &function);
}

void symbolizer_lookup(struct symbolizer *symbolizer, const struct module *module,
                       uintptr_t address, struct symbol *symbol)
{
    struct module_names *names = module ? names_of(symbolizer, module->serial) : NULL;
    *symbol = (struct symbol){.count = 1, .has_source = true, .lines = {{.name = "[unknown]"}}};
    if (!names)
        return;
    if (!module->path[0]) {
        name_generated(symbolizer, names, address, &symbol->lines[0]);
        return;
    }
    uint64_t vaddr = address - module->bias;
    if (name_as_before(names, module, vaddr, symbol))
        return;
    symbol->lines[0].name = NULL;
    struct open_files *files = open_module(symbolizer, names, module);
    struct code_range range = CODE_RANGE_ALL;
    bool by_symbol = name_by_symbol(files, vaddr, &symbol->lines[0], &range);
    symbol->has_source = !by_symbol;
    if (!by_symbol)
        add_source(files, vaddr, symbol);
    if (!symbol->lines[symbol->count - 1].name)
        name_by_place(files, module, vaddr, symbol, &range);
    if (by_symbol || names->lacks_dwarf) /* else its name may hang on each address's source */
        remember(names, module, vaddr, &range, symbol);
}

/* LLVM's names for numba's functions carry hashes as ABI tags. */
static void drop_abi_tags(char *name)
{
    for (char *tag = name, *end; (tag = strstr(tag, "[abi:")) && (end = strchr(tag, ']'));)
        memmove(tag, end + 1, strlen(end + 1) + 1);
}

/* Numba puts a word before the linkage name of what wraps a function: "cfunc._ZN…". */
static void demangle_registered(const char *linkage, char *readable, size_t capacity)
{
    const char *mangled =
        linkage[0] == '_' && linkage[1] == 'Z' ? NULL : strstr(linkage, "._Z");
    size_t word = mangled ? (size_t)(mangled + 1 - linkage) : 0;
    if (word >= capacity)
        word = 0;
    memcpy(readable, linkage, word);
    demangle(linkage + word, readable + word, capacity - word);
    drop_abi_tags(readable);
}

void symbolizer_add_registered(struct symbolizer *symbolizer, const struct module_map *map,
                               const struct module *module, uintptr_t address,
                               struct symbol *symbol)
{
    struct symbol_line *line = &symbol->lines[0];
    bool nameless = !line->linkage && !(module && module->path[0]);
    const char *linkage =
        nameless ? jit_objects_find(&symbolizer->jit_objects, map, address) : NULL;
    struct module_names *names =
        linkage ? names_of(symbolizer, module ? module->serial : 0) : NULL;
    char readable[DEMANGLE_OUTPUT];
    if (!names)
        return;
    demangle_registered(linkage, readable, sizeof readable);
    line->linkage = keep(names, linkage);
    line->name = keep(names, readable);
}

struct jit_objects *symbolizer_registered(struct symbolizer *symbolizer)
{
    return &symbolizer->jit_objects;
}

void symbolizer_add_source(struct symbolizer *symbolizer, const struct module *module,
                           uintptr_t address, struct symbol *symbol)
{
    if (symbol->has_source)
        return;
    struct module_names *names = names_of(symbolizer, module->serial);
    if (names)
        add_source(open_module(symbolizer, names, module), address - module->bias, symbol);
}
