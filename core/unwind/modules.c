#include "unwind/modules.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "unwind/arch.h"
#include "unwind/generated_set.h"
#include "unwind/listing.h"
#include "unwind/table.h"

enum {
    MODULES_SHARE = 2,           /* of the budget all modules may take half, */
    TABLE_SHARE = 4,             /* one table a quarter, */
    UNLIMITED_TABLE = 256 << 20, /* of no budget this much */
    SLICE = 2048,                /* entries, */
    PARTS_SLICE = 256,           /* or parts, compiled in one go: some milliseconds */
    PART_SHIFT = 10, /* a part is a KiB of code: some five functions. Smaller ones would take
                        more in tables of tables than they spare */
    ONE_PART = 63,   /* all of a module */
};

/* Between two looks for unknown code, or two tries after one that failed, pass a thousand
 * times the CPU time of the last one, within these bounds: code may stay unknown for ever, the
 * budget spent, and a process can have tens of thousands of mappings. */
static const uint64_t REST_SHARE = 1000;
static const uint64_t REST_LEAST = NS_PER_SECOND;
static const uint64_t REST_MOST = 60 * NS_PER_SECOND;

/* A module that snapshots share. Counted by the collector alone. */
struct shared_module {
    struct module module;       /* first: what the public type points to */
    struct mapping mapping;     /* as it was listed */
    struct unwind_parts *parts; /* those of `module`; NULL: none yet */
    bool refused;               /* though met: it can't have a table, or no further one */
    bool read;                  /* its pivots are there, or can't be read */
    size_t bytes;               /* taken from the budget */
    size_t references;          /* snapshots that hold it, and the job */
    int32_t *pivots;
    struct unwind_met met; /* and behind it the pivots and the path */
};

/* The table that is being compiled. */
struct compile_job {
    struct shared_module *shared; /* NULL: none is */
    void *bytes;                  /* a copy of its unwind information, mapped, so that it */
    size_t size;                  /* goes back to the system */
    struct unwind_builder *builder;
};

struct snapshot {
    struct module_map map;         /* first: what readers hold */
    struct snapshot *next;         /* of those that await their last reader */
    size_t bytes;                  /* taken from the budget */
    const struct module **modules; /* what the map points to, for filling */
    uintptr_t *starts;
};

static _Atomic uint64_t last_snapshot; /* serial, in the life of the process */

struct modules {
    struct budget budget;                       /* a share */
    _Atomic(const struct module_map *) current; /* a snapshot's; never NULL */
    struct snapshot *retired;
    struct loader_state seen; /* what the loader said for the current snapshot */
    bool unread;              /* it has modules whose pivots nobody has tried to read */
    bool scanning;            /* the loader does not know all code of this process */
    bool failed;              /* the last listing */
    uint64_t rest_until_ns;   /* see REST_SHARE */
    atomic_bool missed;
    uint64_t serials;
    struct compile_job job;
    struct entries *entries; /* to compile parts from; NULL: not needed yet */
    struct generated_met met;
    struct generated_function *made[GENERATED_MET]; /* for the next snapshot */
    size_t made_count;
};

/* ---- modules ---- */

static struct shared_module *shared_of(const struct module *module)
{
    return (struct shared_module *)(uintptr_t)module;
}

static size_t parts_bytes(size_t count)
{
    return sizeof(struct unwind_parts) + count * sizeof(struct unwind_table *);
}

static void free_parts(struct modules *modules, struct unwind_parts *parts)
{
    if (!parts)
        return;
    for (size_t i = 0; i < parts->count; i++) {
        const struct unwind_table *table = parts->tables[i];
        unwind_table_free((struct unwind_table *)(uintptr_t)table, &modules->budget);
    }
    budget_give(&modules->budget, parts_bytes(parts->count));
    free(parts);
}

static void module_release(struct modules *modules, struct shared_module *shared)
{
    if (--shared->references > 0)
        return;
    free_parts(modules, shared->parts);
    budget_give(&modules->budget, shared->bytes);
    free(shared);
}

static uintptr_t search_signal_return(uintptr_t start, uintptr_t limit)
{
    return (uintptr_t)memmem((const void *)start, limit - start, ARCH_SIGNAL_RETURN,
                             sizeof(ARCH_SIGNAL_RETURN));
}

/* Looks for the code that handlers return to: in the C library, or in the vDSO. Neither is ever
 * unmapped. Glibc has it beside sigaction(), so that not half of the library is read for it. */
static uintptr_t find_signal_return(const struct mapping *mapping)
{
    enum { NEAR = 4096 };
    uintptr_t start = mapping->start;
    uintptr_t limit = mapping->limit;
    uintptr_t at = (uintptr_t)sigaction;
    bool libc = at - start < limit - start;
    if (!mapping->solid || (!libc && getauxval(AT_SYSINFO_EHDR) - start >= limit - start))
        return 0;
    uintptr_t found = libc ? search_signal_return(at - start > NEAR ? at - NEAR : start,
                                                  limit - at > NEAR ? at + NEAR : limit)
                           : 0;
    return found != 0 ? found : search_signal_return(start, limit);
}

static struct mapped_unwind look_at_unwind(const struct mapping *mapping)
{
    return (struct mapped_unwind){.start = mapping->unwind,
                                  .limit = mapping->unwind_limit,
                                  .base = mapping->header,
                                  .pairs = mapping->pairs,
                                  .count = mapping->pair_count};
}

static unsigned part_shift(const struct mapping *mapping)
{
    return mapping->pair_count > 0 ? PART_SHIFT : ONE_PART;
}

static size_t count_parts(const struct mapping *mapping)
{
    return ((mapping->limit - mapping->start - 1) >> part_shift(mapping)) + 1;
}

static struct shared_module *module_make(struct modules *modules, const struct mapping *mapping,
                                         const char *path)
{
    size_t pivots = mapped_pivot_count(mapping->pair_count);
    size_t met = count_parts(mapping) / 64 + 1;
    size_t bytes = sizeof(struct shared_module) + met * sizeof(uint64_t) +
                   pivots * sizeof(int32_t) + strlen(path) + 1;
    if (!budget_take(&modules->budget, bytes))
        return NULL;
    struct shared_module *shared = calloc(1, bytes);
    if (!shared) {
        budget_give(&modules->budget, bytes);
        return NULL;
    }
    shared->pivots = (int32_t *)(shared->met.parts + met);
    char *name = (char *)(shared->pivots + pivots);
    memcpy(name, path, strlen(path));
    shared->bytes = bytes;
    shared->mapping = *mapping;
    shared->module = (struct module){
        .start = mapping->start,
        .limit = mapping->limit,
        .bias = mapping->bias,
        .shift = mapping->shift,
        .file_offset = mapping->file_offset,
        .path = name,
        .serial = ++modules->serials,
        .part_shift = part_shift(mapping),
        .met = &shared->met,
        .mapped = look_at_unwind(mapping),
        .signal_return = find_signal_return(mapping),
    };
    memcpy(shared->module.mapped.head, mapping->head, sizeof(mapping->head));
    shared->module.transient = mapping->header != 0 && !mapping->stays;
    shared->module.search = strstr(shared->module.path, "musl") != NULL;
    shared->module.guess = mapping->header == 0 ? !mapping->foreign : mapping->pair_count > 0;
    return shared;
}

/* The module of the current snapshot that this mapping still is, or NULL. */
static struct shared_module *known_module(const struct modules *modules,
                                          const struct mapping *mapping)
{
    const struct module *module = module_find(modules_current(modules), mapping->start);
    struct shared_module *shared = shared_of(module);
    return module && shared->mapping.fingerprint == mapping->fingerprint ? shared : NULL;
}

/* ---- snapshots ---- */

static struct generated_set *set_of(const struct snapshot *snapshot)
{
    return (struct generated_set *)(uintptr_t)snapshot->map.generated;
}

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
    snapshot->map.met = &modules->met;
    return snapshot;
}

static void hold_set(struct snapshot *snapshot, const struct generated_set *set)
{
    snapshot->map.generated = set;
    if (set)
        set_of(snapshot)->references++;
}

static void snapshot_free(struct modules *modules, struct snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->map.count; i++)
        module_release(modules, shared_of(snapshot->map.modules[i]));
    generated_set_release(set_of(snapshot), &modules->budget);
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
            module_release(modules, shared_of(module));
            continue;
        }
        snapshot->starts[kept] = module->start;
        snapshot->modules[kept++] = module;
    }
    snapshot->map.count = kept;
}

/* What the listing names, sharing what is known already; *fresh tells whether anything is
 * new. */
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

/* By name: what is built here runs with older C libraries too. Once in the life of the process,
 * by whoever starts first: dlsym() waits for the constructors of what is just being loaded, and
 * the collector, who lists just then, must not. */
static loader_find *find_of_loader(void)
{
#ifdef DLFO_STRUCT_HAS_EH_DBASE
    static _Atomic(loader_find *) found;
    static atomic_bool asked;
    if (!atomic_load(&asked)) {
        atomic_store(&found, (loader_find *)(uintptr_t)dlsym(RTLD_DEFAULT, "_dl_find_object"));
        atomic_store(&asked, true);
    }
    return atomic_load(&found);
#else
    return NULL;
#endif
}

static void publish_snapshot(struct modules *modules, struct snapshot *snapshot)
{
    snapshot->map.serial = atomic_fetch_add(&last_snapshot, 1) + 1;
    struct snapshot *old =
        (struct snapshot *)(uintptr_t)atomic_exchange(&modules->current, &snapshot->map);
    old->next = modules->retired;
    modules->retired = old;
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
    snapshot->map.find = find_of_loader();
    snapshot->map.doubtful = loader.removals != 0;
    modules->seen = loader;
    if (!fresh && snapshot->map.doubtful == modules_current(modules)->doubtful &&
        snapshot->map.count == modules_current(modules)->count) {
        snapshot_free(modules, snapshot);
        return 0;
    }
    hold_set(snapshot, modules_current(modules)->generated);
    publish_snapshot(modules, snapshot);
    modules->unread = true;
    return 1;
}

/* Of those that the last refresh found. */
static void read_pivots(struct modules *modules)
{
    const struct module_map *map = modules_current(modules);
    for (size_t i = 0; modules->unread && i < map->count; i++) {
        struct shared_module *shared = shared_of(map->modules[i]);
        if (!shared->read && shared->mapping.pair_count > 0 &&
            listing_copy_pivots(&shared->mapping, shared->pivots) == 0)
            atomic_store_explicit(&shared->module.mapped.pivots, shared->pivots,
                                  memory_order_release);
        shared->read = true;
    }
    modules->unread = false;
}

/* By this thread's clock: what others run meanwhile is no cost of ours, and no reason to look
 * less often. */
static void rest(struct modules *modules, uint64_t began)
{
    uint64_t pause = (clock_ns(CLOCK_THREAD_CPUTIME_ID) - began) * REST_SHARE;
    pause = pause < REST_LEAST ? REST_LEAST : pause > REST_MOST ? REST_MOST : pause;
    modules->rest_until_ns = clock_ns(CLOCK_MONOTONIC) + pause;
}

int modules_refresh(struct modules *modules,
                    struct modules_reader *(*readers)(void *closure, size_t index),
                    void *closure)
{
    int result = 0;
    read_pivots(modules);
    if (due(modules)) {
        uint64_t began = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        result = list_and_publish(modules);
        modules->failed = result < 0;
        if (modules->failed || modules->scanning)
            rest(modules, began);
    }
    reclaim(modules, readers, closure);
    return result;
}

/* ---- compiling ---- */

static size_t table_limit(const struct budget *budget)
{
    return budget->limit ? budget->limit / (TABLE_SHARE / MODULES_SHARE) : UNLIMITED_TABLE;
}

/* The copy that is compiled is as large as the table may become, or larger. */
static int copy_unwind(struct compile_job *job, size_t limit)
{
    const struct mapping *mapping = &job->shared->mapping;
    size_t size = mapping->unwind_limit - mapping->unwind;
    if (mapping->header == 0 || size > 2 * limit)
        return -EINVAL;
    void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED)
        return -ENOMEM;
    job->bytes = bytes;
    job->size = size;
    return listing_copy_unwind(mapping, bytes);
}

static void end_job(struct modules *modules)
{
    struct compile_job *job = &modules->job;
    unwind_builder_free(job->builder);
    if (job->bytes)
        munmap(job->bytes, job->size);
    if (job->shared)
        module_release(modules, job->shared);
    *job = (struct compile_job){.shared = NULL};
}

static int begin_job(struct modules *modules, struct shared_module *shared)
{
    struct compile_job *job = &modules->job;
    const struct mapping *mapping = &shared->mapping;
    size_t limit = table_limit(&modules->budget);
    *job = (struct compile_job){.shared = shared};
    shared->references++;
    int error = copy_unwind(job, limit);
    const struct unwind_source source = {
        .start = mapping->start,
        .limit = mapping->limit,
        .bytes = {.bytes = job->bytes, .size = job->size, .address = mapping->unwind},
        .header = mapping->header,
    };
    return error != 0 ? error : unwind_builder_new(&source, limit, &job->builder);
}

/* A module in which something was met that has no table, but could have one; NULL: none. */
static struct shared_module *next_to_compile(const struct modules *modules)
{
    const struct module_map *map = modules_current(modules);
    for (size_t i = 0; i < map->count; i++) {
        struct shared_module *shared = shared_of(map->modules[i]);
        if (!shared->refused && atomic_load_explicit(&shared->met.any, memory_order_relaxed))
            return shared;
    }
    return NULL;
}

/* False: no room. */
static bool make_parts(struct modules *modules, struct shared_module *shared)
{
    size_t count = count_parts(&shared->mapping);
    if (shared->parts)
        return true;
    if (!budget_take(&modules->budget, parts_bytes(count)))
        return false;
    shared->parts = calloc(1, parts_bytes(count));
    if (!shared->parts) {
        budget_give(&modules->budget, parts_bytes(count));
        return false;
    }
    shared->parts->count = count;
    atomic_store_explicit(&shared->module.parts, shared->parts, memory_order_release);
    return true;
}

static void publish(struct shared_module *shared, size_t part, const struct unwind_table *table)
{
    atomic_store_explicit(&shared->parts->tables[part], table, memory_order_release);
}

/* ---- a module in one part ---- */

static void finish_job(struct modules *modules)
{
    const struct compile_job *job = &modules->job;
    struct unwind_table *table = NULL;
    if (make_parts(modules, job->shared) &&
        unwind_builder_finish(job->builder, &modules->budget, &table) == 0)
        publish(job->shared, 0, table);
    else
        job->shared->refused = true;
}

static void run_job(struct modules *modules)
{
    struct compile_job *job = &modules->job;
    int status = unwind_builder_run(job->builder, SLICE);
    if (status == 1)
        return;
    if (status == 0)
        finish_job(modules);
    else
        job->shared->refused = true;
    end_job(modules);
}

/* ---- a part of a module ---- */

static int compile_part(struct modules *modules, struct shared_module *shared, size_t number)
{
    const struct mapping *mapping = &shared->mapping;
    uintptr_t start = mapping->start + ((uintptr_t)number << PART_SHIFT);
    uintptr_t room = mapping->limit - start;
    const struct unwind_part part = {
        .start = start,
        .limit = start + (room < 1 << PART_SHIFT ? room : 1 << PART_SHIFT),
        .code = mapping->start,
        .code_limit = mapping->limit,
    };
    struct unwind_table *table;
    int error = unwind_part_new(modules->entries, &part, &modules->budget, &table);
    if (error != 0)
        return error;
    if (!mapped_holds(&shared->module.mapped)) { /* unloaded: it may be another's */
        unwind_table_free(table, &modules->budget);
        return -ESTALE;
    }
    publish(shared, number, table);
    return 0;
}

/* Of 64 parts those that were met and have no table. */
static int compile_word(struct modules *modules, struct shared_module *shared, size_t word,
                        size_t *compiled)
{
    uint64_t met = atomic_load_explicit(&shared->met.parts[word], memory_order_relaxed);
    int error = 0;
    for (; met != 0 && error == 0; met &= met - 1) {
        size_t number = word * 64 + (size_t)__builtin_ctzll(met);
        if (shared->parts->tables[number])
            continue;
        error = compile_part(modules, shared, number);
        ++*compiled;
    }
    return error;
}

/* What was met of the module; after so many parts the rest is left for the next time. */
static int compile_parts(struct modules *modules, struct shared_module *shared)
{
    size_t compiled = 0;
    int error = 0;
    if (!modules->entries)
        modules->entries = malloc(sizeof(*modules->entries));
    if (!modules->entries || !make_parts(modules, shared))
        return -ENOMEM;
    if (!mapped_holds(&shared->module.mapped)) /* it has been unloaded */
        return -ESTALE;
    entries_open(modules->entries, &shared->module.mapped);
    for (size_t word = 0; word * 64 < shared->parts->count && error == 0; word++) {
        if (compiled >= PARTS_SLICE) {
            atomic_store_explicit(&shared->met.any, true, memory_order_relaxed);
            break;
        }
        error = compile_word(modules, shared, word, &compiled);
    }
    return error;
}

bool modules_compile(struct modules *modules)
{
    struct compile_job *job = &modules->job;
    struct shared_module *shared = job->shared ? NULL : next_to_compile(modules);
    if (shared) {
        atomic_exchange_explicit(&shared->met.any, false, memory_order_acquire);
        if (shared->mapping.pair_count > 0)
            shared->refused = compile_parts(modules, shared) != 0;
        else if ((shared->refused = begin_job(modules, shared) != 0))
            end_job(modules);
    }
    if (job->shared)
        run_job(modules);
    return job->shared || next_to_compile(modules) != NULL;
}

/* ---- code that was made at run time ---- */

size_t modules_generated_met(struct modules *modules, uintptr_t pcs[GENERATED_MET])
{
    struct generated_met *met = &modules->met;
    size_t count = 0;
    if (!atomic_exchange_explicit(&met->any, false, memory_order_acquire))
        return 0;
    for (size_t i = 0; i < GENERATED_MET; i++) {
        uintptr_t pc = atomic_exchange_explicit(&met->pcs[i], 0, memory_order_relaxed);
        if (pc != 0)
            pcs[count++] = pc;
    }
    return count;
}

void modules_generated_add(struct modules *modules, const struct generated_source *source)
{
    for (size_t i = 0; i < modules->made_count; i++)
        if (source->pc - modules->made[i]->start <
            modules->made[i]->limit - modules->made[i]->start)
            return;
    struct generated_function *function = modules->made_count < GENERATED_MET
                                              ? generated_function_new(source, &modules->budget)
                                              : NULL;
    if (function)
        modules->made[modules->made_count++] = function;
}

/* The current snapshot's modules with other tables of generated code. */
static struct snapshot *snapshot_again(struct modules *modules, struct generated_set *set)
{
    const struct module_map *map = modules_current(modules);
    struct snapshot *snapshot = snapshot_new(modules, map->count);
    if (!snapshot)
        return NULL;
    snapshot->map.count = map->count;
    snapshot->map.find = map->find;
    snapshot->map.doubtful = map->doubtful;
    memcpy(snapshot->modules, map->modules, map->count * sizeof(*map->modules));
    memcpy(snapshot->starts, map->starts, map->count * sizeof(*map->starts));
    for (size_t i = 0; i < map->count; i++)
        shared_of(map->modules[i])->references++;
    hold_set(snapshot, set);
    return snapshot;
}

bool modules_generated_publish(struct modules *modules, bool forget)
{
    struct generated_set *set = NULL;
    struct snapshot *snapshot = NULL;
    if (modules->made_count > 0 && !forget)
        set = generated_set_new(modules_current(modules)->generated, modules->made,
                                modules->made_count, &modules->budget);
    if (set)
        snapshot = snapshot_again(modules, set);
    if (snapshot)
        publish_snapshot(modules, snapshot);
    generated_set_release(set, &modules->budget);
    while (modules->made_count > 0)
        generated_function_release(modules->made[--modules->made_count], &modules->budget);
    return snapshot != NULL;
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
        count += shared_of(map->modules[i])->refused;
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
    end_job(modules);
    (void)modules_generated_publish(modules, true);
    free(modules->entries);
    reclaim(modules, no_reader, NULL);
    snapshot_free(modules, (struct snapshot *)(uintptr_t)modules_current(modules));
    free(modules);
}
