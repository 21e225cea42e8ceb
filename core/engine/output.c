#include "engine/output.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "export/sink_file.h"
#include "format/format.h"

void output_release(struct output_claim *claim)
{
    struct stat now;
    if (claim->held && fstat(claim->socket, &now) == 0 && S_ISSOCK(now.st_mode) &&
        now.st_ino == claim->inode)
        close(claim->socket);
    *claim = (struct output_claim){0};
}

/* The same for every way to spell the path. False where there is no such folder. */
static bool identify(const char *path, uint64_t *name)
{
    const char *base = strrchr(path, '/');
    char folder[PATH_MAX];
    struct stat where;
    if (base == NULL || snprintf(folder, sizeof folder, "%.*s/", (int)(base - path), path) >=
                            (int)sizeof folder)
        return false;
    if (stat(folder, &where) != 0)
        return false;
    *name =
        hash_combine(hash_combine(where.st_dev, where.st_ino), hash_bytes(base, strlen(base)));
    return true;
}

/* False only when another process has the name. */
static bool take(struct output_claim *claim, uint64_t name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length = snprintf(address.sun_path + 1, sizeof address.sun_path - 1,
                          "cprof-output-%016llx", (unsigned long long)name);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    int new = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct stat status;
    if (new < 0)
        return true;
    if (bind(new, (struct sockaddr *)&address, size) != 0) {
        bool taken = errno == EADDRINUSE;
        close(new);
        return !taken;
    }
    output_release(claim);
    if (fstat(new, &status) == 0)
        *claim = (struct output_claim){
            .held = true, .socket = new, .inode = status.st_ino, .name = name};
    return true;
}

char *output_claim(struct output_claim *claim, const char *pattern)
{
    uint64_t name;
    if (sink_file_has(pattern, 'p') || !identify(pattern, &name) ||
        (claim->held && claim->name == name) || take(claim, name))
        return strdup(pattern);
    log_info("another process writes %s: this one writes beside it", pattern);
    return output_beside(pattern, (long)getpid());
}

/* The length of the ending that picks the format, with its dot. */
static size_t ending_length(const char *path)
{
    const struct format *format = format_by_path(path);
    size_t length = strlen(path);
    for (size_t i = 0; format != NULL && format->endings[i] != NULL; i++) {
        size_t size = strlen(format->endings[i]);
        if (size <= length && strcmp(path + length - size, format->endings[i]) == 0)
            return size;
    }
    return 0;
}

char *output_beside(const char *pattern, long pid)
{
    if (sink_file_has(pattern, 'p'))
        return strdup(pattern);
    size_t stem = strlen(pattern) - ending_length(pattern);
    char *adjusted = NULL;
    if (asprintf(&adjusted, "%.*s.%ld%s", (int)stem, pattern, pid, pattern + stem) < 0)
        return NULL;
    return adjusted;
}
