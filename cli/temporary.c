#include "temporary.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "format/format.h"
#include "profile/combine.h"

int temporary_make(char path[PATH_MAX])
{
    const char *folder = getenv("TMPDIR");
    int length =
        snprintf(path, PATH_MAX, "%s/cprof-XXXXXX", folder && *folder ? folder : "/tmp");
    if (length >= PATH_MAX)
        return -ENAMETOOLONG;
    return mkdtemp(path) ? 0 : -errno;
}

static int merge_file(const char *path, struct profile **profile)
{
    char error[FORMAT_ERROR_SIZE] = "";
    struct profile *next = format_read_file(path, error);
    if (!next) {
        fail("%s", error);
        return 0;
    }
    if (!*profile) {
        *profile = next;
        return 0;
    }
    int status = profile_merge(*profile, next);
    profile_free(next);
    return status;
}

/* Calls `each` for the entries that are whole profiles, or for all of them. */
static int for_each_entry(const char *folder, int (*each)(const char *path, void *closure),
                          void *closure)
{
    DIR *entries = opendir(folder);
    if (!entries)
        return -errno;
    int status = 0;
    const struct dirent *entry;
    while (!status && (entry = readdir(entries))) {
        char path[PATH_MAX];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) < (int)sizeof(path))
            status = each(path, closure);
    }
    closedir(entries);
    return status;
}

/* What does not end so is a file that a killed process left half written. */
static int merge_entry(const char *path, void *closure)
{
    const char *end = strrchr(path, '/');
    size_t length = strlen(end);
    if (end[1] == '.' || length < 6 || strcmp(end + length - 6, ".pb.gz") != 0)
        return 0;
    return merge_file(path, closure);
}

int temporary_merge(const char *path, struct profile **profile)
{
    *profile = NULL;
    int status = for_each_entry(path, merge_entry, profile);
    if (status) {
        profile_free(*profile);
        *profile = NULL;
    }
    return status;
}

static int remove_entry(const char *path, void *closure)
{
    (void)closure;
    unlink(path);
    return 0;
}

void temporary_remove(const char *path)
{
    for_each_entry(path, remove_entry, NULL);
    rmdir(path);
}
