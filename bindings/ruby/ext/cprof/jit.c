#include "jit.h"

#include <stdint.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "walk.h"

void jit_find(struct walk_range *range)
{
    *range = (struct walk_range){0};
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        uintptr_t start, end;
        if (strstr(line, "Ruby:rb_jit_reserve_addr_space") == NULL ||
            sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &start, &end) != 2)
            continue;
        if (range->start == 0)
            range->start = start;
        range->end = end;
    }
    if (maps != NULL)
        fclose(maps);
}
