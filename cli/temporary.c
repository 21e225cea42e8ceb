#include "temporary.h"

#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/random.h"
#include "command.h"
#include "load.h"

/* Root's program may become another user, who has to write then. Whoever knows the inner name
 * may: it can't be guessed, and its outer folder does not list it. Files in it belong to those
 * who made them (sticky). */
static int make_inner(char path[PATH_MAX])
{
    bool root = geteuid() == 0;
    uint64_t random[2];
    char outer[PATH_MAX];
    snprintf(outer, sizeof(outer), "%s", path);
    random_words(random);
    if (snprintf(path, PATH_MAX, "%s/%016llx", outer, (unsigned long long)random[0]) >=
        PATH_MAX)
        return -ENAMETOOLONG;
    if (mkdir(path, 0700) < 0)
        return -errno;
    return !root || (chmod(path, 01733) == 0 && chmod(outer, 0711) == 0) ? 0 : -errno;
}

int temporary_make(char path[PATH_MAX])
{
    const char *folder = getenv("TMPDIR");
    int length =
        snprintf(path, PATH_MAX, "%s/cprof-XXXXXX", folder && *folder ? folder : "/tmp");
    if (length >= PATH_MAX)
        return -ENAMETOOLONG;
    if (!mkdtemp(path))
        return -errno;
    int status = make_inner(path);
    if (status)
        temporary_remove(path);
    return status;
}

/* Calls `each` for all entries until one fails. */
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

/* The paths of whole profiles. */
struct list {
    char **paths;
    size_t count, room;
};

/* What does not end so is a file that a killed process left half written; what is no file was
 * put there by somebody else. */
static int list_entry(const char *path, void *closure)
{
    struct list *list = closure;
    const char *end = strrchr(path, '/');
    size_t length = strlen(end);
    struct stat info;
    if (end[1] == '.' || length < 6 || strcmp(end + length - 6, ".pb.gz") != 0 ||
        lstat(path, &info) < 0 || !S_ISREG(info.st_mode))
        return 0;
    if (list->count == list->room) {
        size_t room = 2 * list->room + 16;
        char **paths = realloc(list->paths, room * sizeof(*paths));
        if (!paths)
            return -ENOMEM;
        list->paths = paths;
        list->room = room;
    }
    list->paths[list->count] = strdup(path);
    return list->paths[list->count++] ? 0 : -ENOMEM;
}

/* Those of one process stand together, in the order of time. */
static int compare_paths(const void *left, const void *right)
{
    return strverscmp(*(char *const *)left, *(char *const *)right);
}

int temporary_merge(const char *path, struct profile **profile)
{
    const struct load load = {.skip_broken = true, .keep = KEEP_PAST};
    struct list list = {0};
    *profile = NULL;
    int status = for_each_entry(path, list_entry, &list);
    if (!status && list.count > 0) {
        qsort(list.paths, list.count, sizeof(*list.paths), compare_paths);
        status = load_files(&load, list.paths, list.count, profile) == GO_ON ? 0 : -EIO;
    }
    for (size_t i = 0; i < list.count; i++)
        free(list.paths[i]);
    free(list.paths);
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
    char outer[PATH_MAX];
    for_each_entry(path, remove_entry, NULL);
    rmdir(path);
    snprintf(outer, sizeof(outer), "%s", path);
    rmdir(dirname(outer));
}
