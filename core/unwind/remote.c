#include "unwind/remote.h"

#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/companion.h"

const struct unwind_library *unwind_load(const char *directory, char *error, size_t error_size)
{
    const char *file = "libcprof_unwind.so";
    const struct unwind_library *library =
        companion_load(directory, file, "cprof_unwind", 0, error, error_size);
    if (library != NULL && library->version != UNWIND_LIBRARY_VERSION) {
        snprintf(error, error_size, "%s belongs to another version of cprof", file);
        return NULL;
    }
    return library;
}

static bool find_code(void *closure, uint64_t pc, struct remote_code *code)
{
    const struct module *module = module_find(closure, (uintptr_t)pc);
    if (module == NULL || module->mapped.pivots == NULL)
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
    struct iovec local = {.iov_base = word, .iov_len = sizeof *word};
    struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = sizeof *word};
    return is_constant(closure, (uintptr_t)address) &&
           process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)sizeof *word;
}

size_t remote_walk(const struct unwind_library *library, const struct module_map *map,
                   const struct stack_copy *stack, struct native_frame *frames, size_t capacity,
                   bool *complete)
{
    const struct remote_memory memory = {
        .code = find_code, .read = read_word, .closure = (void *)(uintptr_t)map};
    return library->walk(stack, &memory, frames, capacity, complete);
}
