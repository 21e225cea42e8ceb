/* A second copy of the whole core, as another package brings it. */
#include "cprof/cprof.h"

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int second_start(char *error, size_t size);
EXPORTED int second_stop(void);

int second_start(char *error, size_t size)
{
    const struct cprof_options options = {.exporter = "none"};
    return cprof_start(&options, NULL, error, size);
}

int second_stop(void)
{
    return cprof_stop(60);
}
