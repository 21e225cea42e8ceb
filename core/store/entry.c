#include "store/entry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "store/files.h"

#define NAME                                                                                   \
    "cprof-%016" PRIx64 "-%08" PRIx32 "-%016" PRIx64 "-%016" PRIx64 "-%016" PRIx64             \
    "-%08" PRIx32 "-%08" PRIx32 "-%08" PRIx32 ".block"
#define HALF ".cprof-store-%016" PRIx64 ".tmp"

uint64_t entry_key(const char *service)
{
    return hash_bytes(service, strlen(service));
}

void entry_write_name(char name[ENTRY_NAME_SIZE], const struct entry *e)
{
    snprintf(name, ENTRY_NAME_SIZE, NAME, e->key, e->resolution, e->from, e->to, e->unique,
             e->count, e->size, e->crc);
}

static bool read_short(const char **text, uint32_t *number)
{
    uint64_t wide;
    bool read = files_read_field(text, 8, &wide);
    *number = read ? (uint32_t)wide : 0;
    return read;
}

bool entry_parse_name(const char *name, struct entry *e)
{
    return files_read_text(&name, "cprof-") && files_read_hex(&name, 16, &e->key) &&
           read_short(&name, &e->resolution) && files_read_field(&name, 16, &e->from) &&
           files_read_field(&name, 16, &e->to) && files_read_field(&name, 16, &e->unique) &&
           read_short(&name, &e->count) && read_short(&name, &e->size) &&
           read_short(&name, &e->crc) && strcmp(name, ".block") == 0 && e->from <= e->to;
}

void entry_write_half_name(char name[ENTRY_NAME_SIZE], uint64_t unique)
{
    snprintf(name, ENTRY_NAME_SIZE, HALF, unique);
}

bool entry_parse_half_name(const char *name, uint64_t *unique)
{
    return files_read_text(&name, ".cprof-store") && files_read_field(&name, 16, unique) &&
           strcmp(name, ".tmp") == 0;
}

/* ---- lists ---- */

int entries_add(struct entries *entries, const struct entry *entry)
{
    if (entries->count == entries->room) {
        size_t room = entries->room ? 2 * entries->room : 64;
        struct entry *list = realloc(entries->list, room * sizeof *list);
        if (list == NULL)
            return -ENOMEM;
        entries->list = list;
        entries->room = room;
    }
    entries->list[entries->count++] = *entry;
    entries->bytes += entry->size;
    return 0;
}

void entries_remove(struct entries *entries, size_t index)
{
    entries->bytes -= entries->list[index].size;
    entries->count--;
    memmove(&entries->list[index], &entries->list[index + 1],
            (entries->count - index) * sizeof *entries->list);
}

void entries_free(struct entries *entries)
{
    free(entries->list);
    *entries = (struct entries){0};
}

static int order(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int compare(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int by = order(x->key, y->key);
    by = by != 0 ? by : order(x->from, y->from);
    return by != 0 ? by : order(x->unique, y->unique);
}

static int compare_ends(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int by = order(x->to, y->to);
    return by != 0 ? by : compare(a, b);
}

void entries_sort(struct entries *entries)
{
    if (entries->count > 0)
        qsort(entries->list, entries->count, sizeof *entries->list, compare);
}

void entries_sort_by_end(struct entries *entries)
{
    if (entries->count > 0)
        qsort(entries->list, entries->count, sizeof *entries->list, compare_ends);
}

/* A half-written file that nobody locks was left by a process that died. */
static void clean_up(int folder, const char *name)
{
    uint64_t unique;
    int file = entry_parse_half_name(name, &unique) ? files_open_locked(folder, name) : -1;
    if (file < 0)
        return;
    unlinkat(folder, name, 0);
    close(file);
}

/* Not a link, a folder or a pipe of such a name, which nobody of us made and none may put
 * others in its place. */
static bool is_plain(int folder, const struct dirent *file)
{
    struct stat status;
    if (file->d_type != DT_UNKNOWN)
        return file->d_type == DT_REG;
    return fstatat(folder, file->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(status.st_mode);
}

int entries_read(struct entries *entries, const char *path, bool tending)
{
    DIR *folder = opendir(path);
    if (folder == NULL)
        return -errno;
    int status = 0;
    for (struct dirent *file; status == 0 && (file = readdir(folder)) != NULL;) {
        struct entry entry;
        if (entry_parse_name(file->d_name, &entry) &&
            (!tending || is_plain(dirfd(folder), file)))
            status = entries_add(entries, &entry);
        else if (tending && file->d_name[0] == '.')
            clean_up(dirfd(folder), file->d_name);
    }
    closedir(folder);
    return status;
}
