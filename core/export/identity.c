#include "export/identity.h"

#include <stddef.h>
#include <string.h>

bool attribute_identifies(const char *key)
{
    static const char *const kept[] = {"process.pid", "process.runtime.name",
                                       "process.runtime.version", "host.name"};
    static const char *const described[] = {"process.", "host.", "os.", "telemetry."};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (strcmp(key, kept[i]) == 0)
            return true;
    for (size_t i = 0; i < sizeof described / sizeof *described; i++)
        if (strncmp(key, described[i], strlen(described[i])) == 0)
            return false;
    return true;
}
