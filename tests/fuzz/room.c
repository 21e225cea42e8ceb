/* The memory limit that the binding's tables draw on, without an engine. What is taken and not
 * given back is a fault. */
#include "room.h"

#include <stdlib.h>

static size_t taken;

bool room_take(size_t bytes)
{
    const size_t limit = (size_t)64 << 20;
    if (bytes > limit - taken)
        return false;
    taken += bytes;
    return true;
}

void room_give(size_t bytes)
{
    if (bytes > taken)
        abort();
    taken -= bytes;
}
