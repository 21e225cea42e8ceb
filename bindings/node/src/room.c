#include "room.h"

#include <stdatomic.h>

#include "cprof/cprof.h"

bool room_take(size_t bytes)
{
    return cprof_memory_take(bytes);
}

void room_give(size_t bytes)
{
    cprof_memory_give(bytes);
}

void room_tell(enum room_lack lack)
{
    static const char *const lines[] = {
        [ROOM_LIMIT] =
            "CPROF_MEMORY_LIMIT has no room for all JavaScript functions: some are shown "
            "as \"(JavaScript)\", or without lines",
        [ROOM_TEXTS] = "more scripts have been loaded at once than are kept to be read: the "
                       "functions of some are shown without lines",
    };
    static _Atomic bool told[sizeof lines / sizeof *lines];
    if (!atomic_exchange(&told[lack], true))
        cprof_say(lines[lack]);
}
