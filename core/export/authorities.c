#include "export/authorities.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/* The variable's value; NULL: unset, empty, or nothing that can be read. */
static const char *named(const char *variable, bool list)
{
    const char *path = getenv(variable);
    if (path == NULL || path[0] == '\0')
        return NULL;
    if (access(path, R_OK) == 0 || (list && strchr(path, ':') != NULL))
        return path;
    log_warn("%s: can't read %s; the system's certificates are used", variable, path);
    return NULL;
}

struct authorities authorities_named(void)
{
    return (struct authorities){.file = named("SSL_CERT_FILE", false),
                                .folder = named("SSL_CERT_DIR", true)};
}
