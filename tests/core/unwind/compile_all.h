/* Compiles the table of every module that can have one, as if walks had met them all. */
#ifndef COMPILE_ALL_H
#define COMPILE_ALL_H

#include "unwind/modules.h"

static inline void compile_all(struct modules *modules)
{
    const struct module_map *map = modules_current(modules);
    for (size_t i = 0; i < map->count; i++)
        module_meet(map->modules[i]);
    while (modules_compile(modules))
        ;
}

#endif
