#include "unwind/remote.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own_module.h"
#include "base/own_thread.h"
#include "cprof/readable.h"

enum { UNTRIED, LOADING, LOADED, MISSING };

static _Atomic int state = UNTRIED;
static const struct unwind_library *loaded; /* written before `state` is LOADED */

static void *load(void *directory)
{
    const char *file = "libcprof_unwind.so";
    char error[256];
    const struct unwind_library *library =
        own_module_load(directory, file, "cprof_unwind", 0, error, sizeof error);
    free(directory);
    if (library != NULL && library->version != UNWIND_LIBRARY_VERSION) {
        snprintf(error, sizeof error, "%s belongs to another version of cprof", file);
        library = NULL;
    }
    if (library == NULL)
        log_info("stacks with DWARF expressions are cut: %s", error);
    loaded = library;
    atomic_store(&state, library != NULL ? LOADED : MISSING);
    return NULL;
}

/* On failure it is tried again at the next stack. */
static void begin_to_load(const char *directory)
{
    pthread_t thread;
    char *own = directory != NULL ? strdup(directory) : NULL;
    atomic_store(&state, LOADING);
    if ((directory == NULL || own != NULL) &&
        own_thread_start(&thread, OWN_THREAD_PREFIX "unwind", load, own) == 0) {
        pthread_detach(thread);
    } else {
        free(own);
        atomic_store(&state, UNTRIED);
    }
}

int unwind_library(const char *directory, const struct unwind_library **library)
{
    int now = atomic_load(&state);
    if (now == UNTRIED)
        begin_to_load(directory);
    if (now == LOADED)
        *library = loaded;
    return now == LOADED ? 0 : now == MISSING ? -ENOENT : -EAGAIN;
}

void unwind_library_retry(void)
{
    int missing = MISSING;
    atomic_compare_exchange_strong(&state, &missing, UNTRIED);
}

void unwind_library_fork_child(void)
{
    int loading = LOADING;
    atomic_compare_exchange_strong(&state, &loading, UNTRIED);
}

static bool find_code(void *closure, uint64_t pc, struct remote_code *code)
{
    const struct module *module = module_find(closure, (uintptr_t)pc);
    if (module == NULL || module->mapped.count == 0)
        return false;
    *code = (struct remote_code){.start = module->start,
                                 .limit = module->limit,
                                 .header = module->mapped.base,
                                 .pairs = module->mapped.pairs,
                                 .pair_count = module->mapped.count};
    return true;
}

/* Does it lie in code or unwind information? Nothing else has stayed as it was. */
static bool is_constant(const struct module_map *map, uintptr_t address)
{
    bool found = module_find(map, address) != NULL;
    for (size_t i = 0; i < map->count && !found; i++) {
        const struct mapped_unwind *mapped = &map->modules[i]->mapped;
        found = address >= mapped->start && address < mapped->limit;
    }
    return found;
}

/* It may be unmapped at any moment. */
static bool read_word(void *closure, uint64_t address, uint64_t *word)
{
    return is_constant(closure, (uintptr_t)address) &&
           cprof_read_all(word, (uintptr_t)address, sizeof *word);
}

size_t remote_walk(const struct unwind_library *library, const struct module_map *map,
                   const struct stack_copy *stack, struct native_frame *frames, size_t capacity,
                   bool *complete)
{
    const struct remote_memory memory = {
        .code = find_code, .read = read_word, .closure = (void *)(uintptr_t)map};
    return library->walk(stack, &memory, frames, capacity, complete);
}
