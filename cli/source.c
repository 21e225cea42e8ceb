#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reads all of it, or as much as there is by now. */
static int read_all(int file, struct source *source)
{
    size_t used = 0;
    ssize_t got = 1;
    source->text = malloc(source->size + 1);
    if (!source->text)
        return -ENOMEM;
    while (used < source->size && got > 0) {
        got = read(file, source->text + used, source->size - used);
        used += got > 0 ? (size_t)got : 0;
    }
    source->size = used;
    source->text[used] = '\0';
    return got < 0 ? -errno : 0;
}

static int count_lines(struct source *source)
{
    size_t lines = 1;
    for (size_t i = 0; i < source->size; i++)
        lines += source->text[i] == '\n';
    source->starts = calloc(lines + 1, sizeof(*source->starts));
    if (!source->starts)
        return -ENOMEM;
    for (size_t i = 0; i < source->size; i++)
        if (source->text[i] == '\n')
            source->starts[++source->count] = i + 1;
    if (source->starts[source->count] < source->size) /* the last one has no end */
        source->starts[++source->count] = source->size;
    return 0;
}

/* Not a device, and nothing that waits for somebody to write to it. */
static int open_path(struct source *source)
{
    struct stat info;
    int file = open(source->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file < 0)
        return -errno;
    int status = fstat(file, &info) ? -errno : 0;
    if (!status && (!S_ISREG(info.st_mode) || info.st_size > SOURCE_MOST))
        status = -EFBIG;
    if (!status) {
        source->size = (size_t)info.st_size;
        source->changed = info.st_mtime;
        status = read_all(file, source);
    }
    close(file);
    if (!status)
        status = count_lines(source);
    if (status) {
        free(source->text);
        source->text = NULL;
    }
    return status;
}

/* Would the path leave the folder that it is sought in? */
static bool leaves(const char *path)
{
    for (const char *at = path; (at = strstr(at, "..")); at += 2)
        if ((at == path || at[-1] == '/') && (at[2] == '/' || !at[2]))
            return true;
    return false;
}

static int open_below(struct source *source, const char *file, const char *folder)
{
    if (leaves(file))
        return -ENOENT;
    for (const char *rest = file; rest; rest = strchr(rest, '/')) {
        rest += strspn(rest, "/");
        int length = snprintf(source->path, sizeof(source->path), "%s/%s", folder, rest);
        if (*rest && (size_t)length < sizeof(source->path) && open_path(source) == 0)
            return 0;
    }
    return -ENOENT;
}

int source_open(struct source *source, const char *file, const char *folder)
{
    static const char scheme[] = "file://";
    *source = (struct source){0};
    if (strncmp(file, scheme, strlen(scheme)) == 0)
        file += strlen(scheme);
    if (!*file)
        return -ENOENT;
    if (folder && open_below(source, file, folder) == 0)
        return 0;
    if ((size_t)snprintf(source->path, sizeof(source->path), "%s", file) >=
        sizeof(source->path))
        return -ENAMETOOLONG;
    return open_path(source);
}

void source_free(struct source *source)
{
    free(source->text);
    free(source->starts);
    *source = (struct source){0};
}

const char *source_line(const struct source *source, int64_t line, size_t *length)
{
    if (line < 1 || line > source->count)
        return NULL;
    const size_t start = source->starts[line - 1];
    size_t end = source->starts[line];
    while (end > start && (source->text[end - 1] == '\n' || source->text[end - 1] == '\r'))
        end--;
    *length = end - start;
    return source->text + start;
}
