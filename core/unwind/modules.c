#include "unwind/modules.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "unwind/arch.h"
#include "unwind/listing.h"
#include "unwind/table.h"

enum {
    MODULES_SHARE = 2,           /* of the budget all modules may take half, */
    TABLE_SHARE = 4,             /* one table a quarter, */
    UNLIMITED_TABLE = 256 << 20, /* of no budget this much */
};

/* Between two looks for unknown code, or two tries after one that failed, pass a thousand
 * times what the last one took, within these bounds: code may stay unknown for ever, the
 * budget spent, and a process can have tens of thousands of mappings. */
static const uint64_t REST_SHARE = 1000;
static const uint64_t REST_LEAST = NS_PER_SECOND;
static const uint64_t REST_MOST = 60 * NS_PER_SECOND;

/* A module that snapshots share. Counted by the collector alone. */
struct shared_module {
    struct module module; /* first: what the public type points to */
    uint64_t fingerprint; /* see listing.h */
    bool without_table;   /* though it has unwind information */
    size_t bytes;         /* taken from the budget */
    size_t references;    /* snapshots that hold it */
    char path[];
};

struct snapshot {
    struct module_map map;         /* first: what readers hold */
    struct snapshot *next;         /* of those that await their last reader */
    size_t bytes;                  /* taken from the budget */
    const struct module **modules; /* what the map points to, for filling */
    uintptr_t *starts;
};

struct modules {
    struct budget budget;                       /* a share */
    _Atomic(const struct module_map *) current; /* a snapshot's; never NULL */
    struct snapshot *retired;
    struct loader_state seen; /* what the loader said for the current snapshot */
    bool scanning;            /* the loader does not know all code of this process */
    bool failed;              /* the last listing */
    uint64_t rest_until_ns;   /* see REST_SHARE */
    atomic_bool missed;
    uint64_t serials;
};

/* ---- modules ---- */

static struct shared_module *shared_of(const struct module *module)
{
    return (struct shared_module *)(uintptr_t)module;
}

static void module_release(struct modules *modules, const struct module *module)
{
    struct shared_module *shared = shared_of(module);
    if (--shared->references > 0)
        return;
    unwind_table_free((struct unwind_table *)(uintptr_t)module->table, &modules->budget);
    budget_give(&modules->budget, shared->bytes);
    free(shared);
}

static size_t table_limit(const struct budget *budget)
{
    return budget->limit ? budget->limit / (TABLE_SHARE / MODULES_SHARE) : UNLIMITED_TABLE;
}

/* NULL when there is nothing to compile, or no room. The copy that is compiled is as large as
 * the table may become, or larger; it is mapped, so that it goes back to the system. */
static const struct unwind_table *compile(const struct mapping *mapping, struct budget *budget)
{
    size_t limit = table_limit(budget);
    size_t size = mapping->unwind_limit - mapping->unwind;
    struct unwind_table *table = NULL;
    if (mapping->header == 0 || size > 2 * limit)
        return NULL;
    void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED)
        return NULL;
    const struct unwind_source source = {
        .start = mapping->start,
        .limit = mapping->limit,
        .bytes = {.bytes = bytes, .size = size, .address = mapping->unwind},
        .header = mapping->header,
    };
    if (listing_copy_unwind(mapping, bytes) != 0 ||
        unwind_table_new(&source, limit, budget, &table) != 0)
        table = NULL;
    munmap(bytes, size);
    return table;
}

/* Looks for the code that handlers return to: in the C library, or in the vDSO. Neither is ever
 * unmapped. */
static uintptr_t find_signal_return(const struct mapping *mapping)
{
    uintptr_t size = mapping->limit - mapping->start;
    uintptr_t vdso = getauxval(AT_SYSINFO_EHDR);
    if (!mapping->solid ||
        ((uintptr_t)sigaction - mapping->start >= size && vdso - mapping->start >= size))
        return 0;
    return (uintptr_t)memmem((const void *)mapping->start, size, ARCH_SIGNAL_RETURN,
                             sizeof(ARCH_SIGNAL_RETURN));
}

static struct shared_module *module_make(struct modules *modules, const struct mapping *mapping,
                                         const char *path)
{
    size_t bytes = sizeof(struct shared_module) + strlen(path) + 1;
    if (!budget_take(&modules->budget, bytes))
        return NULL;
    struct shared_module *shared = calloc(1, bytes);
    if (!shared) {
        budget_give(&modules->budget, bytes);
        return NULL;
    }
    memcpy(shared->path, path, strlen(path));
    shared->bytes = bytes;
    shared->fingerprint = mapping->fingerprint;
    shared->module = (struct module){
        .start = mapping->start,
        .limit = mapping->limit,
        .bias = mapping->bias,
        .shift = mapping->shift,
        .file_offset = mapping->file_offset,
        .path = shared->path,
        .serial = ++modules->serials,
        .table = compile(mapping, &modules->budget),
        .signal_return = find_signal_return(mapping),
    };
    shared->without_table = mapping->header != 0 && !shared->module.table;
    return shared;
}

/* The module of the current snapshot that this mapping still is, or NULL. */
static struct shared_module *known_module(const struct modules *modules,
                                          const struct mapping *mapping)
{
    const struct module *module = module_find(modules_current(modules), mapping->start);
    struct shared_module *shared = shared_of(module);
    return module && shared->fingerprint == mapping->fingerprint ? shared : NULL;
}

/* ---- snapshots ---- */

static struct snapshot *snapshot_new(struct modules *modules, size_t capacity)
{
    size_t bytes =
        sizeof(struct snapshot) + capacity * (sizeof(uintptr_t) + sizeof(struct module *));
    if (!budget_take(&modules->budget, bytes))
        return NULL;
    struct snapshot *snapshot = calloc(1, bytes);
    if (!snapshot) {
        budget_give(&modules->budget, bytes);
        return NULL;
    }
    snapshot->bytes = bytes;
    snapshot->modules = (const struct module **)(snapshot + 1);
    snapshot->starts = (uintptr_t *)(snapshot->modules + capacity);
    snapshot->map.modules = snapshot->modules;
    snapshot->map.starts = snapshot->starts;
    return snapshot;
}

static void snapshot_free(struct modules *modules, struct snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->map.count; i++)
        module_release(modules, snapshot->map.modules[i]);
    budget_give(&modules->budget, snapshot->bytes);
    free(snapshot);
}

static int compare_modules(const void *a, const void *b)
{
    uintptr_t left = (*(const struct module *const *)a)->start;
    uintptr_t right = (*(const struct module *const *)b)->start;
    return (left > right) - (left < right);
}

/* Sorts the modules, and leaves out what overlaps a lower neighbour. */
static void snapshot_sort(struct modules *modules, struct snapshot *snapshot)
{
    size_t kept = 0;
    qsort(snapshot->modules, snapshot->map.count, sizeof(snapshot->modules[0]),
          compare_modules);
    for (size_t i = 0; i < snapshot->map.count; i++) {
        const struct module *module = snapshot->modules[i];
        if (kept > 0 && module->start < snapshot->modules[kept - 1]->limit) {
            module_release(modules, module);
            continue;
        }
        snapshot->starts[kept] = module->start;
        snapshot->modules[kept++] = module;
    }
    snapshot->map.count = kept;
}

/* What the listing names, sharing what is known already; *fresh tells whether anything is new.
 * Modules are made in the listing's order: the first ones find the budget full. */
static struct snapshot *snapshot_of(struct modules *modules, const struct listing *listing,
                                    bool *fresh)
{
    struct snapshot *snapshot = snapshot_new(modules, listing->count);
    *fresh = false;
    if (!snapshot)
        return NULL;
    for (size_t i = 0; i < listing->count; i++) {
        const struct mapping *mapping = &listing->mappings[i];
        struct shared_module *shared = known_module(modules, mapping);
        if (!shared) {
            shared = module_make(modules, mapping, listing->text + mapping->path);
            *fresh = true;
        }
        if (!shared) {
            snapshot_free(modules, snapshot);
            return NULL;
        }
        shared->references++;
        snapshot->modules[snapshot->map.count++] = &shared->module;
    }
    snapshot_sort(modules, snapshot);
    return snapshot;
}

/* ---- readers ---- */

const struct module_map *modules_enter(struct modules *modules, struct modules_reader *reader)
{
    const struct module_map *map = atomic_load(&modules->current);
    for (;;) {
        atomic_store(&reader->holds, map);
        const struct module_map *now = atomic_load(&modules->current);
        if (now == map) /* it was current after we had said that we hold it */
            return map;
        map = now;
    }
}

void modules_leave(struct modules_reader *reader)
{
    atomic_store_explicit(&reader->holds, NULL, memory_order_release);
}

static bool held(const struct snapshot *snapshot,
                 struct modules_reader *(*readers)(void *closure, size_t index), void *closure)
{
    struct modules_reader *reader;
    for (size_t i = 0; (reader = readers(closure, i)); i++)
        if (atomic_load(&reader->holds) == &snapshot->map)
            return true;
    return false;
}

static void reclaim(struct modules *modules,
                    struct modules_reader *(*readers)(void *closure, size_t index),
                    void *closure)
{
    struct snapshot **link = &modules->retired;
    while (*link) {
        struct snapshot *snapshot = *link;
        if (held(snapshot, readers, closure)) {
            link = &snapshot->next;
        } else {
            *link = snapshot->next;
            snapshot_free(modules, snapshot);
        }
    }
}

/* ---- refresh ---- */

/* Has anything happened that asks for a new listing? */
static bool due(struct modules *modules)
{
    struct loader_state loader;
    loader_state_read(&loader);
    bool changed = loader.additions != modules->seen.additions ||
                   loader.removals != modules->seen.removals;
    if (clock_ns(CLOCK_MONOTONIC) < modules->rest_until_ns)
        return changed && !modules->failed;
    if (atomic_load_explicit(&modules->missed, memory_order_relaxed)) {
        atomic_store_explicit(&modules->missed, false, memory_order_relaxed);
        modules->scanning = true;
        changed = true;
    }
    return changed;
}

static int list_and_publish(struct modules *modules)
{
    struct listing listing;
    bool fresh;
    int error = listing_new(&listing, modules->scanning);
    if (error != 0)
        return error;
    struct snapshot *snapshot = snapshot_of(modules, &listing, &fresh);
    struct loader_state loader = listing.loader;
    listing_free(&listing);
    if (!snapshot)
        return -ENOMEM;
    modules->seen = loader;
    if (!fresh && snapshot->map.count == modules_current(modules)->count) {
        snapshot_free(modules, snapshot);
        return 0;
    }
    struct snapshot *old =
        (struct snapshot *)(uintptr_t)atomic_exchange(&modules->current, &snapshot->map);
    old->next = modules->retired;
    modules->retired = old;
    return 1;
}

static void rest(struct modules *modules, uint64_t began)
{
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    uint64_t pause = (now - began) * REST_SHARE;
    pause = pause < REST_LEAST ? REST_LEAST : pause > REST_MOST ? REST_MOST : pause;
    modules->rest_until_ns = now + pause;
}

int modules_refresh(struct modules *modules,
                    struct modules_reader *(*readers)(void *closure, size_t index),
                    void *closure)
{
    int result = 0;
    if (due(modules)) {
        uint64_t began = clock_ns(CLOCK_MONOTONIC);
        result = list_and_publish(modules);
        modules->failed = result < 0;
        if (modules->failed || modules->scanning)
            rest(modules, began);
    }
    reclaim(modules, readers, closure);
    return result;
}

void modules_miss(struct modules *modules)
{
    atomic_store_explicit(&modules->missed, true, memory_order_relaxed);
}

const struct module_map *modules_current(const struct modules *modules)
{
    return atomic_load_explicit(&modules->current, memory_order_relaxed);
}

size_t modules_without_table(const struct modules *modules)
{
    const struct module_map *map = modules_current(modules);
    size_t count = 0;
    for (size_t i = 0; i < map->count; i++)
        count += shared_of(map->modules[i])->without_table;
    return count;
}

struct modules *modules_new(struct budget *budget)
{
    struct modules *modules = calloc(1, sizeof(*modules));
    if (!modules)
        return NULL;
    budget_init_share(&modules->budget, budget, MODULES_SHARE);
    modules->seen = (struct loader_state){.additions = ULLONG_MAX}; /* nothing yet */
    struct snapshot *empty = snapshot_new(modules, 0);
    if (!empty) {
        free(modules);
        return NULL;
    }
    atomic_init(&modules->current, &empty->map);
    return modules;
}

static struct modules_reader *no_reader(void *closure, size_t index)
{
    (void)closure;
    (void)index;
    return NULL;
}

void modules_free(struct modules *modules)
{
    if (!modules)
        return;
    reclaim(modules, no_reader, NULL);
    snapshot_free(modules, (struct snapshot *)(uintptr_t)modules_current(modules));
    free(modules);
}
