#include "engine/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "symbol/symbolizer.h"

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

struct names {
    struct budget *budget;
    const struct cprof_runtime *runtime;
    struct symbolizer *symbolizer;
    struct profile *dictionary;
    profile_id truncated, nothing, overflow;
    struct table native, frames;
    bool full; /* something had no room */
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

static bool open_dictionary(struct names *names)
{
    struct profile *dictionary = profile_new(names->budget);
    if (dictionary == NULL)
        return false;
    profile_id truncated = plain_location(dictionary, "[truncated]");
    profile_id nothing = plain_location(dictionary, "[native]");
    profile_id overflow = plain_location(dictionary, PROFILE_OVERFLOW);
    if (profile_error(dictionary) != 0) {
        profile_free(dictionary);
        return false;
    }
    names->dictionary = dictionary;
    names->truncated = truncated;
    names->nothing = nothing;
    names->overflow = overflow;
    names->full = false;
    return true;
}

struct names *names_new(struct budget *budget, const struct cprof_runtime *runtime)
{
    struct names *names = calloc(1, sizeof *names);
    if (names == NULL)
        return NULL;
    *names = (struct names){.budget = budget, .runtime = runtime};
    names->symbolizer = symbolizer_new(budget);
    if (names->symbolizer != NULL && open_dictionary(names))
        return names;
    names_free(names);
    return NULL;
}

void names_free(struct names *names)
{
    if (names == NULL)
        return;
    table_free(&names->native, names->budget);
    table_free(&names->frames, names->budget);
    profile_free(names->dictionary);
    symbolizer_free(names->symbolizer);
    free(names);
}

const struct profile *names_dictionary(const struct names *names)
{
    return names->dictionary;
}

profile_id names_truncated(const struct names *names)
{
    return names->truncated;
}

profile_id names_nothing(const struct names *names)
{
    return names->nothing;
}

/* Keeps a new name for the next time. One that did not fit is "[overflow]" till the restart:
 * the dictionary takes nothing any more after its first refusal. */
static struct name keep(struct names *names, struct table *table, struct entry entry)
{
    if (entry.name.location == 0 || !table_add(table, &entry, names->budget)) {
        names->full = true;
        entry.name.location = names->overflow;
    }
    return entry.name;
}

/* ---- native ---- */

static profile_id map_module(struct names *names, const struct module *module)
{
    struct profile *d = names->dictionary;
    const struct module_identity *identity = symbolizer_identity(names->symbolizer, module);
    const struct profile_mapping mapping = {
        .start = module->start,
        .limit = module->limit,
        .file_offset = module->file_offset,
        .filename = profile_string(d, module->path),
        .build_id = profile_string(d, identity->build_id),
        .htlhash = profile_string(d, identity->htlhash),
    };
    return profile_mapping(d, &mapping);
}

static profile_id locate(struct names *names, const struct module *module, uintptr_t pc,
                         const struct symbol *symbol)
{
    struct profile *d = names->dictionary;
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
        .mapping = module ? map_module(names, module) : 0,
        .address = module ? pc : 0, /* all unknown code is one location */
        .type = CPROF_FRAME_NATIVE,
        .line_count = (uint32_t)symbol->count,
        .lines = lines,
    };
    return profile_location(d, &location);
}

static enum cprof_role role_of(const struct names *names, const struct module *module,
                               const struct symbol *symbol)
{
    if (names->runtime == NULL || names->runtime->role == NULL || module == NULL)
        return CPROF_ROLE_PLAIN;
    return names->runtime->role(symbol->lines[symbol->count - 1].linkage, module->path);
}

struct name names_native(struct names *names, const struct module_map *map, uintptr_t pc)
{
    const struct name *known = table_find(&names->native, pc, 0);
    if (known != NULL)
        return *known;
    const struct module *module = module_find(map, pc);
    struct symbol symbol;
    symbolizer_lookup(names->symbolizer, module, pc, &symbol);
    struct entry entry = {
        .key = pc,
        .serial = module ? module->serial : 0,
        .name = {.location = locate(names, module, pc, &symbol),
                 .role = (uint8_t)role_of(names, module, &symbol),
                 .failed = module == NULL},
    };
    return keep(names, &names->native, entry);
}

void names_modules_changed(struct names *names, const struct module_map *map)
{
    struct table old = names->native;
    names->native = (struct table){0};
    for (size_t i = 0; i < old.capacity; i++) {
        const struct entry *entry = &old.entries[i];
        if (entry->name.location == 0)
            continue;
        const struct module *module = module_find(map, entry->key);
        if (entry->serial == (module ? module->serial : 0))
            (void)table_add(&names->native, entry, names->budget); /* else asked again */
        else if (entry->serial != 0)
            symbolizer_forget(names->symbolizer, entry->serial);
    }
    table_free(&old, names->budget);
}

/* ---- interpreted ---- */

struct name names_frame(struct names *names, const struct cprof_frame *frame)
{
    const struct name *known = table_find(&names->frames, frame->token, frame->position);
    if (known != NULL)
        return *known;
    struct profile *d = names->dictionary;
    struct cprof_function found = {.name = NULL};
    bool failed = names->runtime == NULL || names->runtime->resolve == NULL ||
                  names->runtime->resolve(frame, &found) != 0 || found.name == NULL;
    if (failed)
        found = (struct cprof_function){.name = "[unknown]"};
    const struct profile_function function = {
        .name = profile_string(d, found.name),
        .filename = profile_string(d, found.file ? found.file : ""),
        .start_line = found.start_line,
    };
    const struct profile_line line = {.function = profile_function(d, &function),
                                      .line = found.line};
    const struct profile_location location = {
        .type = found.type, .line_count = 1, .lines = &line};
    struct entry entry = {
        .key = frame->token,
        .detail = frame->position,
        .name = {.location = profile_location(d, &location), .failed = failed},
    };
    return keep(names, &names->frames, entry);
}

/* ---- between drains and intervals ---- */

void names_rest(struct names *names)
{
    symbolizer_rest(names->symbolizer);
}

bool names_restart(struct names *names)
{
    size_t held = profile_memory(names->dictionary) +
                  (names->native.capacity + names->frames.capacity) * sizeof(struct entry);
    size_t limit = names->budget->limit;
    if (!names->full && (limit == 0 || held <= limit / SHARE))
        return false;
    table_free(&names->native, names->budget);
    table_free(&names->frames, names->budget);
    struct profile *old = names->dictionary;
    if (!open_dictionary(names)) {
        names->full = true; /* no room for another: "[overflow]" until the next try */
        return false;
    }
    profile_free(old);
    return true;
}
