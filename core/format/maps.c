#include "format/maps.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static bool add(struct maps *maps, const struct profile_mapping *mapping)
{
    const size_t step = 256;
    if (maps->count % step == 0) {
        struct profile_mapping *grown =
            realloc(maps->list, (maps->count + step) * sizeof(*grown));
        if (grown == NULL)
            return false;
        maps->list = grown;
    }
    maps->list[maps->count++] = *mapping;
    return true;
}

/* "55d0-55d8 r-xp 00001000 08:01 1234   /usr/bin/shop" */
static bool read_line(struct maps *maps, struct profile *p, struct slice line)
{
    struct profile_mapping mapping = {0};
    char text[512], permissions[8];
    int path = 0;
    snprintf(text, sizeof(text), "%.*s", line.length < sizeof(text) ? (int)line.length : 511,
             line.text);
    int fields =
        sscanf(text, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %*s %*s %n", &mapping.start,
               &mapping.limit, permissions, &mapping.file_offset, &path);
    if (fields < 4 || strchr(permissions, 'x') == NULL || mapping.limit <= mapping.start)
        return true;
    if (path > 0)
        mapping.filename = profile_string(p, text + path);
    return add(maps, &mapping);
}

static int by_start(const void *left, const void *right)
{
    const struct profile_mapping *a = left, *b = right;
    return (a->start > b->start) - (a->start < b->start);
}

bool maps_read(struct maps *maps, struct profile *p, struct slice text)
{
    struct slice line;
    while (slice_line(&text, &line))
        if (!read_line(maps, p, line))
            return false;
    for (size_t i = 0; i < maps->count; i++)
        profile_mapping(p, &maps->list[i]);
    if (maps->count > 0)
        qsort(maps->list, maps->count, sizeof(*maps->list), by_start);
    return true;
}

profile_id maps_find(const struct maps *maps, struct profile *p, uint64_t address)
{
    size_t low = 0, high = maps->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (maps->list[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || address >= maps->list[low - 1].limit)
        return 0;
    return profile_mapping(p, &maps->list[low - 1]);
}

void maps_free(struct maps *maps)
{
    free(maps->list);
}
