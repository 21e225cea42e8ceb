/* Handler code: runs inside the sampling signal. No allocation, locks, stdio or errno. */
#include "unwind/lookup.h"

#include <dlfcn.h>

#include "unwind/table.h"

bool lookup_uncached(const struct walk *walk, const struct module *module, uintptr_t pc,
                     struct unwind_rule *rule)
{
    const struct unwind_table *table = module_table(module, pc);
    if (!table) {
        module_meet(module, pc);
        return mapped_find(&module->mapped, &walk->memory->scratch, pc, rule);
    }
    const struct unwind_rule *found = unwind_table_find(table, pc);
    if (found)
        *rule = *found;
    return found != NULL;
}

#ifdef DLFO_STRUCT_HAS_EH_DBASE /* glibc since 2.35 */
static bool loader_knows(loader_find *find, const struct module *module, uintptr_t pc)
{
    struct dl_find_object found;
    return find((void *)pc, &found) == 0 &&
           (uintptr_t)found.dlfo_eh_frame == module->mapped.base;
}

bool lookup_loader_lacks(loader_find *find, uintptr_t pc)
{
    struct dl_find_object found;
    return find && find((void *)pc, &found) != 0;
}
#else
static bool loader_knows(loader_find *find, const struct module *module, uintptr_t pc)
{
    (void)find, (void)module, (void)pc;
    return false;
}

bool lookup_loader_lacks(loader_find *find, uintptr_t pc)
{
    (void)find, (void)pc;
    return false;
}
#endif

/* Is the module that covers pc still what the snapshot says? Another one may have come in its
 * place. Where the loader can't be asked the memory is, once a walk, if modules go at all. */
static bool is_there(struct walk *walk, const struct module *module, uintptr_t pc)
{
    if (!module->transient)
        return true;
    if (walk->map->find)
        return loader_knows(walk->map->find, module, pc);
    if (!walk->map->doubtful)
        return true;
    for (size_t i = 0; i < SURE && i < walk->sure_count; i++)
        if (walk->sure[i] == module)
            return true;
    if (!mapped_holds(&module->mapped))
        return false;
    walk->sure[walk->sure_count++ % SURE] = module;
    return true;
}

const struct module *lookup_module(struct walk *walk, uintptr_t pc)
{
    const struct module *module = walk->module;
    if (!module || pc - module->start >= module->limit - module->start) {
        module = module_find(walk->map, pc);
        walk->module = module && is_there(walk, module, pc) ? module : NULL;
    }
    return walk->module;
}

uintptr_t lookup_function(struct walk *walk, uintptr_t pc)
{
    const struct module *module = lookup_module(walk, pc);
    return module ? mapped_function(&module->mapped, &walk->memory->scratch, pc) : 0;
}
