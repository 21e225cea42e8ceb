#include "jit.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "walk.h"

#define NAME "Ruby:rb_jit_reserve_addr_space"
#define SIZE_MIN ((size_t)16 << 20) /* the JIT reserves 48 MiB at least */

struct stretch {
    uintptr_t start, end;
    bool executable; /* some of it */
};

/* Joins what adjoins: of the reserved stretch only the part in use is executable. */
static bool extend(struct stretch *stretch, const char *line)
{
    uintptr_t start, end;
    char permissions[5], path[2] = "";
    unsigned long inode;
    if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %lu %1s", &start, &end, permissions,
               &inode, path) < 4)
        return false;
    bool candidate = inode == 0 && (path[0] == '\0' || strstr(line, NAME) != NULL);
    if (stretch->end != start || !candidate)
        *stretch = (struct stretch){.start = start};
    stretch->end = end;
    stretch->executable |= candidate && permissions[2] == 'x';
    return candidate && stretch->executable &&
           (strstr(line, NAME) != NULL || end - stretch->start >= SIZE_MIN);
}

void jit_find(void)
{
    if (atomic_load(&walk_jit.size) != 0)
        return;
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    struct stretch stretch = {0}, found = {0};
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL)
        if (extend(&stretch, line) && (found.start == 0 || found.start == stretch.start))
            found = stretch;
    if (maps != NULL)
        fclose(maps);
    walk_jit.start = found.start;
    atomic_store(&walk_jit.size, found.end - found.start);
}
