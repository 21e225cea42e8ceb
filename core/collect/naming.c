#include "collect/naming.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/hash.h"
#include "collect/jit_unwind.h"
#include "collect/weave.h"
#include "symbol/kallsyms.h"
#include "symbol/kernel_names.h"
#include "symbol/symbolizer.h"

#define NATIVE_NAME 256 /* bytes of a name that the runtime gives; longer ones are cut */
#define MAPPED_MODULES 64
#define SHARE 4 /* the dictionary and its tables may take 1/SHARE of the budget */

struct entry {
    uint64_t key, detail; /* native: pc, 0; interpreted: token, position */
    uint64_t serial;      /* native: of the module; 0 = none */
    struct name name;     /* location 0: the slot is empty */
};

struct table {
    struct entry *entries;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
};

/* A module's mapping in the dictionary. */
struct mapped_module {
    uint64_t serial;
    profile_id mapping; /* 0: the place is empty */
};

struct naming {
    struct budget *budget;
    const struct cprof_runtime *runtime;
    struct symbolizer *symbolizer;
    struct kallsyms kernel;
    struct profile *dictionary;
    profile_id truncated, nothing, unseen, blocked, overflow;
    struct table native, frames;
    struct mapped_module mapped[MAPPED_MODULES]; /* by serial */
    bool full;                                   /* something had no room */
    uint64_t version;                            /* see naming_version() */
};

/* ---- tables ---- */

static void table_free(struct table *table, struct budget *budget)
{
    budget_give(budget, table->capacity * sizeof *table->entries);
    free(table->entries);
    *table = (struct table){0};
}

/* The slot that holds the key, or the empty one where it would go. */
static struct entry *table_slot(const struct table *table, uint64_t key, uint64_t detail)
{
    size_t i = hash_combine(key, detail) & (table->capacity - 1);
    while (table->entries[i].name.location != 0 &&
           (table->entries[i].key != key || table->entries[i].detail != detail))
        i = (i + 1) & (table->capacity - 1);
    return &table->entries[i];
}

static bool table_resize(struct table *table, size_t capacity, struct budget *budget)
{
    size_t bytes = capacity * sizeof *table->entries;
    if (!budget_take(budget, bytes))
        return false;
    struct entry *entries = calloc(capacity, sizeof *entries);
    if (entries == NULL) {
        budget_give(budget, bytes);
        return false;
    }
    struct table grown = {.entries = entries, .capacity = capacity, .count = table->count};
    for (size_t i = 0; i < table->capacity; i++) {
        const struct entry *old = &table->entries[i];
        if (old->name.location != 0)
            *table_slot(&grown, old->key, old->detail) = *old;
    }
    table_free(table, budget);
    *table = grown;
    return true;
}

static const struct name *table_find(const struct table *table, uint64_t key, uint64_t detail)
{
    if (table->capacity == 0)
        return NULL;
    const struct entry *slot = table_slot(table, key, detail);
    return slot->name.location != 0 ? &slot->name : NULL;
}

/* False when there is no room. */
static bool table_add(struct table *table, const struct entry *entry, struct budget *budget)
{
    if (table->count * 4 >= table->capacity * 3 &&
        !table_resize(table, table->capacity ? table->capacity * 2 : 512, budget))
        return false;
    *table_slot(table, entry->key, entry->detail) = *entry;
    table->count++;
    return true;
}

/* ---- the dictionary ---- */

static profile_id plain_location(struct profile *dictionary, const char *text)
{
    const struct profile_function function = {.name = profile_string(dictionary, text)};
    const struct profile_line line = {.function = profile_function(dictionary, &function)};
    return profile_location(dictionary,
                            &(struct profile_location){.line_count = 1, .lines = &line});
}

static bool open_dictionary(struct naming *naming)
{
    struct profile *dictionary = profile_new(naming->budget);
    if (dictionary == NULL)
        return false;
    profile_id truncated = plain_location(dictionary, "[truncated]");
    profile_id nothing = plain_location(dictionary, "[native]");
    profile_id unseen = plain_location(dictionary, "[not sampled]");
    profile_id blocked = plain_location(dictionary, "[signals blocked]");
    profile_id overflow = plain_location(dictionary, PROFILE_OVERFLOW);
    if (profile_error(dictionary) != 0) {
        profile_free(dictionary);
        return false;
    }
    naming->dictionary = dictionary;
    naming->truncated = truncated;
    naming->nothing = nothing;
    naming->unseen = unseen;
    naming->blocked = blocked;
    naming->overflow = overflow;
    naming->full = false;
    memset(naming->mapped, 0, sizeof naming->mapped);
    return true;
}

struct naming *naming_new(struct budget *budget, const struct cprof_runtime *runtime)
{
    struct naming *naming = calloc(1, sizeof *naming);
    if (naming == NULL)
        return NULL;
    *naming = (struct naming){.budget = budget, .runtime = runtime, .kernel.budget = budget};
    naming->symbolizer = symbolizer_new(budget);
    if (naming->symbolizer != NULL && open_dictionary(naming))
        return naming;
    naming_free(naming);
    return NULL;
}

void naming_free(struct naming *naming)
{
    if (naming == NULL)
        return;
    table_free(&naming->native, naming->budget);
    table_free(&naming->frames, naming->budget);
    profile_free(naming->dictionary);
    symbolizer_free(naming->symbolizer);
    kallsyms_free(&naming->kernel);
    free(naming);
}

uint64_t naming_version(const struct naming *naming)
{
    return naming->version;
}

const struct profile *naming_dictionary(const struct naming *naming)
{
    return naming->dictionary;
}

profile_id naming_truncated(const struct naming *naming)
{
    return naming->truncated;
}

profile_id naming_nothing(const struct naming *naming)
{
    return naming->nothing;
}

profile_id naming_unseen(const struct naming *naming)
{
    return naming->unseen;
}

profile_id naming_blocked(const struct naming *naming)
{
    return naming->blocked;
}

/* Keeps a new name for the next time. One that did not fit is "[overflow]" till the restart:
 * the dictionary takes nothing any more after its first refusal. */
static struct name keep(struct naming *naming, struct table *table, struct entry entry)
{
    if (entry.name.location == 0 || !table_add(table, &entry, naming->budget)) {
        naming->full = true;
        entry.name.location = naming->overflow;
    }
    return entry.name;
}

/* ---- native ---- */

static profile_id map_module(struct naming *naming, const struct module *module)
{
    struct profile *d = naming->dictionary;
    struct mapped_module *mapped = &naming->mapped[module->serial % MAPPED_MODULES];
    if (mapped->mapping != 0 && mapped->serial == module->serial)
        return mapped->mapping;
    const struct module_identity *identity = symbolizer_identity(naming->symbolizer, module);
    const struct profile_mapping mapping = {
        .start = module->start,
        .limit = module->limit,
        .file_offset = module->file_offset,
        .filename = profile_string(d, module->path),
        .build_id = profile_string(d, identity->build_id),
        .htlhash = profile_string(d, identity->htlhash),
    };
    *mapped = (struct mapped_module){.serial = module->serial,
                                     .mapping = profile_mapping(d, &mapping)};
    return mapped->mapping;
}

static profile_id locate(struct naming *naming, const struct module *module, uintptr_t pc,
                         const struct symbol *symbol)
{
    struct profile *d = naming->dictionary;
    struct profile_line lines[SYMBOL_MAX_INLINED];
    for (size_t i = 0; i < symbol->count; i++) {
        const struct symbol_line *line = &symbol->lines[i];
        const char *file = line->file ? line->file : module ? module->path : "";
        const struct profile_function function = {
            .name = profile_string(d, line->name),
            .system_name = profile_string(d, line->linkage ? line->linkage : ""),
            .filename = profile_string(d, file),
            .start_line = line->start_line,
        };
        lines[i] = (struct profile_line){.function = profile_function(d, &function),
                                         .line = line->line};
    }
    const struct profile_location location = {
        .mapping = module ? map_module(naming, module) : 0,
        .address = module ? pc : 0, /* all unknown code is one location */
        .type = CPROF_FRAME_NATIVE,
        .line_count = (uint32_t)symbol->count,
        .lines = lines,
    };
    return profile_location(d, &location);
}

static enum cprof_role role_of(const struct naming *naming, const struct module *module,
                               uintptr_t pc, const struct symbol *symbol)
{
    const struct cprof_runtime *runtime = naming->runtime;
    enum cprof_role role = CPROF_ROLE_PLAIN;
    if (runtime != NULL && runtime->role_at != NULL)
        role = runtime->role_at(pc);
    if (role == CPROF_ROLE_PLAIN && runtime != NULL && runtime->role != NULL && module != NULL)
        role = runtime->role(symbol->lines[symbol->count - 1].linkage, module->path);
    return role;
}

static uintptr_t start_of(const struct naming *naming, uintptr_t pc)
{
    const struct cprof_runtime *runtime = naming->runtime;
    return runtime != NULL && runtime->native_start != NULL ? runtime->native_start(pc) : 0;
}

/* Asks the runtime for the name of a function without symbol, and puts it where a symbol's
 * would be. 0 or the runtime's error. */
static int ask_runtime(const struct naming *naming, struct symbol *symbol,
                       char name[NATIVE_NAME])
{
    const struct cprof_runtime *runtime = naming->runtime;
    if (symbol->start == 0 || runtime == NULL || runtime->native_name == NULL)
        return 0;
    int error = runtime->native_name(symbol->start, name, NATIVE_NAME);
    if (error == 0)
        symbol->lines[symbol->count - 1].name = symbol->lines[symbol->count - 1].linkage = name;
    return error;
}

/* Leaves out inlined functions that are the interpreter's plumbing. */
static void drop_plumbing(const struct naming *naming, const struct module *module,
                          struct symbol *symbol)
{
    const struct cprof_runtime *runtime = naming->runtime;
    if (runtime == NULL || runtime->role == NULL || module == NULL)
        return;
    size_t kept = 0;
    for (size_t i = 0; i < symbol->count; i++) {
        const struct symbol_line *line = &symbol->lines[i];
        const char *name = line->linkage != NULL ? line->linkage : line->name;
        if (i + 1 == symbol->count || weave_shows(runtime->role(name, module->path)))
            symbol->lines[kept++] = *line;
    }
    symbol->count = kept;
}

/* A function of the kernel's: by the name that it came with, or that is known of its address;
 * else that is its name. */
static struct name name_kernel(struct naming *naming, uintptr_t pc)
{
    struct profile *d = naming->dictionary;
    char text[32], file[KERNEL_NAME_SIZE] = "[kernel]";
    const char *name = kernel_name_at(pc), *module = "";
    snprintf(text, sizeof text, "[kernel]+%#zx", (size_t)pc);
    if (name == NULL && !kallsyms_find(&naming->kernel, pc, &name, &module))
        name = text;
    if (module[0] != '\0')
        snprintf(file, sizeof file, "[%.*s]", KERNEL_NAME_SIZE - 3, module);
    const struct profile_function function = {
        .name = profile_string(d, name[0] != '\0' ? name : "[kernel]"),
        .filename = profile_string(d, file),
    };
    const struct profile_line line = {.function = profile_function(d, &function)};
    const struct profile_location location = {
        .type = CPROF_FRAME_KERNEL, .line_count = 1, .lines = &line};
    const struct entry entry = {.key = pc,
                                .name = {.location = profile_location(d, &location)}};
    return keep(naming, &naming->native, entry);
}

/* The file that holds this code, if it is not the program's own, as where a program links the
 * core: what is found of it in the stacks of the program's threads are our hooks. */
static bool is_ours(const struct module *module)
{
    uintptr_t here = (uintptr_t)naming_native, program = (uintptr_t)getauxval(AT_ENTRY);
    return here >= module->start && here < module->limit &&
           !(program >= module->start && program < module->limit);
}

/* Never shown, so it needs no name. */
static struct name name_ours(struct naming *naming, const struct module *module, uintptr_t pc)
{
    const struct entry entry = {.key = pc,
                                .serial = module->serial,
                                .name = {.location = naming->nothing, .role = CPROF_ROLE_OWN}};
    return keep(naming, &naming->native, entry);
}

struct name naming_native(struct naming *naming, const struct module_map *map, uintptr_t pc)
{
    const struct name *known = table_find(&naming->native, pc, 0);
    if (known != NULL)
        return *known;
    if (kernel_has(pc))
        return name_kernel(naming, pc);
    const struct module *module = module_find(map, pc);
    if (module != NULL && is_ours(module))
        return name_ours(naming, module, pc);
    struct symbol symbol;
    symbolizer_lookup(naming->symbolizer, module, pc, &symbol);
    char name[NATIVE_NAME];
    int error = ask_runtime(naming, &symbol, name);
    enum cprof_role role = role_of(naming, module, pc, &symbol);
    if (weave_shows(role)) {
        symbolizer_add_registered(naming->symbolizer, map, module, pc, &symbol);
        symbolizer_add_source(naming->symbolizer, module, pc, &symbol);
        drop_plumbing(naming, module, &symbol);
    }
    struct entry entry = {
        .key = pc,
        .serial = module ? module->serial : 0,
        .name = {.location = locate(naming, module, pc, &symbol),
                 .native = start_of(naming, pc),
                 .role = (uint8_t)role,
                 .failed = module == NULL && role == CPROF_ROLE_PLAIN &&
                           symbol.lines[0].linkage == NULL,
                 .later = error == -EAGAIN,
                 .passing = error == -EAGAIN || error == -EBUSY},
    };
    return entry.name.passing ? entry.name : keep(naming, &naming->native, entry);
}

void naming_modules_changed(struct naming *naming, const struct module_map *map)
{
    struct table old = naming->native;
    naming->version++;
    naming->native = (struct table){0};
    for (size_t i = 0; i < old.capacity; i++) {
        const struct entry *entry = &old.entries[i];
        if (entry->name.location == 0)
            continue;
        const struct module *module = module_find(map, entry->key);
        if (entry->serial == (module ? module->serial : 0))
            (void)table_add(&naming->native, entry, naming->budget); /* else asked again */
    }
    symbolizer_keep(naming->symbolizer, map);
    table_free(&old, naming->budget);
}

bool naming_unwind(struct naming *naming, struct modules *modules)
{
    return jit_unwind(symbolizer_registered(naming->symbolizer), modules);
}

/* ---- interpreted ---- */

/* A function and those it was inlined into, innermost first; returns how many. */
static uint32_t lines_of(struct profile *d, const struct cprof_function *found,
                         struct profile_line lines[SYMBOL_MAX_INLINED])
{
    uint32_t count = 0;
    for (; found != NULL && count < SYMBOL_MAX_INLINED; found = found->caller) {
        const struct profile_function function = {
            .name = profile_string(d, found->name),
            .filename = profile_string(d, found->file ? found->file : ""),
            .start_line = found->start_line,
        };
        lines[count++] = (struct profile_line){.function = profile_function(d, &function),
                                               .line = found->line,
                                               .column = found->column};
    }
    return count;
}

struct name naming_frame(struct naming *naming, const struct cprof_frame *frame)
{
    const struct name *known = table_find(&naming->frames, frame->token, frame->position);
    if (known != NULL)
        return *known;
    struct profile *d = naming->dictionary;
    struct cprof_function found = {.name = NULL};
    int error = -ENOENT;
    if (naming->runtime != NULL && naming->runtime->resolve != NULL)
        error = naming->runtime->resolve(frame, &found);
    bool failed = (error != 0 && error != -EAGAIN) || found.name == NULL;
    bool stand_in = error == -ENODATA && found.name != NULL;
    if (failed && !stand_in)
        found = (struct cprof_function){.name = "[unknown]"};
    struct profile_line lines[SYMBOL_MAX_INLINED];
    const struct profile_location location = {
        .type = found.type, .line_count = lines_of(d, &found, lines), .lines = lines};
    struct entry entry = {
        .key = frame->token,
        .detail = frame->position,
        .name = {.location = profile_location(d, &location),
                 .native = found.native,
                 .failed = failed,
                 .later = error == -EAGAIN,
                 .passing = error == -EAGAIN},
    };
    return entry.name.passing ? entry.name : keep(naming, &naming->frames, entry);
}

bool naming_chore(struct naming *naming, struct name *name)
{
    if (naming->runtime == NULL || naming->runtime->chore.token == 0)
        return false;
    *name = naming_frame(naming, &naming->runtime->chore);
    return true;
}

/* ---- between drains and intervals ---- */

void naming_rest(struct naming *naming)
{
    symbolizer_rest(naming->symbolizer);
}

/* A dictionary that had no room for a name is not given up while another one would have none
 * either, as others take what it leaves: what is known stays known. */
static bool restart_is_due(const struct naming *naming)
{
    size_t held = profile_memory(naming->dictionary) +
                  (naming->native.capacity + naming->frames.capacity) * sizeof(struct entry);
    size_t limit = naming->budget->limit;
    bool outgrown = limit != 0 && held > limit / SHARE;
    return outgrown || (naming->full && budget_left(naming->budget) >= held);
}

bool naming_restart(struct naming *naming)
{
    if (!restart_is_due(naming))
        return false;
    naming->version++;
    table_free(&naming->native, naming->budget);
    table_free(&naming->frames, naming->budget);
    struct profile *old = naming->dictionary;
    if (!open_dictionary(naming)) {
        naming->full = true; /* no room for another: "[overflow]" until the next try */
        return false;
    }
    profile_free(old);
    return true;
}
