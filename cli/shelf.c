#include "shelf.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/format.h"
#include "remote.h"

static void add_path(struct shelf *shelf, const char *folder, const char *name)
{
    char *path;
    const size_t length = strlen(folder);
    const char *slash = length == 0 || folder[length - 1] == '/' ? "" : "/";
    if (shelf->count < SHELF_MOST && asprintf(&path, "%s%s%s", folder, slash, name) >= 0)
        shelf->paths[shelf->count++] = path;
}

static int compare_paths(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static void add_folder(struct shelf *shelf, const char *folder, DIR *entries)
{
    const size_t first = shelf->count;
    const struct dirent *entry;
    while ((entry = readdir(entries))) {
        const struct format *format = format_by_path(entry->d_name);
        if (entry->d_name[0] != '.' && format && format->read)
            add_path(shelf, folder, entry->d_name);
    }
    qsort(shelf->paths + first, shelf->count - first, sizeof(*shelf->paths), compare_paths);
}

struct shelf *shelf_make(char *const *sources, size_t count)
{
    struct shelf *shelf = calloc(1, sizeof(*shelf));
    for (size_t i = 0; shelf && i < count; i++) {
        const char *source = sources[i];
        DIR *entries = remote_is(source) ? NULL : opendir(source);
        if (entries)
            add_folder(shelf, source, entries);
        else
            add_path(shelf, "", source);
        if (entries)
            closedir(entries);
    }
    return shelf;
}

void shelf_free(struct shelf *shelf)
{
    for (size_t i = 0; shelf && i < shelf->count; i++)
        free(shelf->paths[i]);
    free(shelf);
}

char *shelf_find(const struct shelf *shelf, const char *path)
{
    for (size_t i = 0; i < shelf->count; i++)
        if (strcmp(shelf->paths[i], path) == 0)
            return shelf->paths[i];
    return NULL;
}
