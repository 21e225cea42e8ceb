#include "format/id_map.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"

bool id_map_init(struct id_map *map, size_t rows)
{
    *map = (struct id_map){.ids = malloc((rows + 1) * sizeof(*map->ids))};
    return map->ids != NULL && rows < UINT32_MAX;
}

void id_map_free(struct id_map *map)
{
    free(map->ids);
    index_free(&map->index, &map->memory);
}

size_t id_map_look_up(const struct id_map *map, uint64_t id)
{
    uint32_t step = 0, row;
    while ((row = index_next(&map->index, (uint32_t)hash_u64(id), &step)) != 0)
        if (map->ids[row - 1] == id)
            return row - 1;
    return ID_MAP_NONE;
}

int id_map_add(struct id_map *map, uint64_t id)
{
    if (id_map_find(map, id) != ID_MAP_NONE)
        return -EEXIST;
    map->ids[map->count++] = id;
    if (id == map->count)
        return 0; /* found by its number */
    if (!index_reserve(&map->index, &map->memory))
        return -ENOMEM;
    index_put(&map->index, (uint32_t)hash_u64(id), map->count);
    return 0;
}
