/* Numbers pairs of numbers, 0, 1, … in order of first use. Begins as {0}. Owned by one encoder;
 * not locked. */
#ifndef CPROF_FORMAT_PAIR_MAP_H
#define CPROF_FORMAT_PAIR_MAP_H

#include <stdint.h>

#include "profile/memory.h"

struct pair {
    uint32_t first, second;
};

struct pair_map {
    struct pair *list; /* by number */
    uint32_t count, room;
    struct index index; /* holds number + 1 */
    struct memory memory;
};

#define PAIR_MAP_NONE UINT32_MAX

/* The number, given now if there is none. PAIR_MAP_NONE: out of memory. */
uint32_t pair_map_of(struct pair_map *map, uint32_t first, uint32_t second);
void pair_map_free(struct pair_map *map);

#endif
