#include "engine/copy.h"

#include <stdio.h>

#include "base/own_thread.h"
#include "collect/collector.h"
#include "sample/install.h"

bool copy_runs(char *line, size_t size)
{
    char path[512] = "";
    if (!handler_foreign(path, sizeof path) || !own_thread_exists(COLLECTOR_THREAD))
        return false;
    if (size > 0)
        snprintf(
            line, size,
            "another copy of cprof%s%s profiles this process already: load only one of them",
            path[0] != '\0' ? ", " : "", path);
    return true;
}
