/* Compiles tables for all code that can have them, as if walks had met every byte of it. */
#ifndef COMPILE_ALL_H
#define COMPILE_ALL_H

#include "unwind/modules.h"

static inline void meet_all(const struct module *module)
{
    for (uintptr_t pc = module->start; pc < module->limit; pc += 256)
        module_meet(module, pc);
}

static inline void compile_all(struct modules *modules)
{
    const struct module_map *map = modules_current(modules);
    for (size_t i = 0; i < map->count; i++)
        meet_all(map->modules[i]);
    while (modules_compile(modules))
        ;
}

#endif
