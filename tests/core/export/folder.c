#include "folder.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char folder[64];

int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/cprof-spool-XXXXXX");
    return mkdtemp(folder) == NULL;
}

size_t for_each_file(void (*what)(const char *path, void *context), void *context)
{
    size_t count = 0;
    char path[512];
    DIR *files = opendir(folder);
    for (struct dirent *file; (file = readdir(files)) != NULL;) {
        if (strcmp(file->d_name, ".") == 0 || strcmp(file->d_name, "..") == 0)
            continue;
        count++;
        snprintf(path, sizeof path, "%s/%s", folder, file->d_name);
        if (what)
            what(path, context);
    }
    closedir(files);
    return count;
}

static void remove_file(const char *path, void *context)
{
    (void)context;
    unlink(path);
}

int remove_folder(void **state)
{
    (void)state;
    for_each_file(remove_file, NULL);
    return rmdir(folder);
}

size_t files(void)
{
    return for_each_file(NULL, NULL);
}
