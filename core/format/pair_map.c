#include "format/pair_map.h"

#include <stdlib.h>

#include "base/hash.h"

uint32_t pair_map_of(struct pair_map *map, uint32_t first, uint32_t second)
{
    const uint32_t hash = (uint32_t)hash_u64((uint64_t)first << 32 | second);
    uint32_t step = 0, row;
    while ((row = index_next(&map->index, hash, &step)) != 0)
        if (map->list[row - 1].first == first && map->list[row - 1].second == second)
            return row - 1;
    if (map->count == map->room) {
        uint32_t room = map->room + map->room / 2 + 256;
        struct pair *list = room > map->room ? realloc(map->list, room * sizeof(*list)) : NULL;
        if (list == NULL)
            return PAIR_MAP_NONE;
        map->list = list;
        map->room = room;
    }
    if (!index_reserve(&map->index, &map->memory))
        return PAIR_MAP_NONE;
    map->list[map->count++] = (struct pair){first, second};
    index_put(&map->index, hash, map->count);
    return map->count - 1;
}

void pair_map_free(struct pair_map *map)
{
    free(map->list);
    index_free(&map->index, &map->memory);
}
