/* pprof's ids are any 64-bit numbers; this finds the row of the input that bears one. Used by
 * one reader; not locked. */
#ifndef CPROF_FORMAT_ID_MAP_H
#define CPROF_FORMAT_ID_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profile/memory.h"

struct id_map {
    uint64_t *ids; /* by row */
    uint32_t count;
    struct index index; /* holds row + 1 */
    struct memory memory;
};

#define ID_MAP_NONE SIZE_MAX

bool id_map_init(struct id_map *map, size_t rows);
void id_map_free(struct id_map *map);

/* Names the next row. 0, -ENOMEM, or -EEXIST. */
int id_map_add(struct id_map *map, uint64_t id);

/* The row, or ID_MAP_NONE, of an id that is not its row's number. */
size_t id_map_look_up(const struct id_map *map, uint64_t id);

/* The row, or ID_MAP_NONE. Most producers number their rows from 1. */
static inline size_t id_map_find(const struct id_map *map, uint64_t id)
{
    if (id - 1 < map->count && map->ids[id - 1] == id)
        return (size_t)id - 1;
    return id_map_look_up(map, id);
}

#endif
