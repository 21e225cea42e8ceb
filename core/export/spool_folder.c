#include "export/spool_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/files.h"

#define NAME                                                                                   \
    "cprof-%016" PRIx64 "-%016" PRIx64 "-%016" PRIx64 "-%08" PRIx32 "-%08" PRIx32              \
    "-%08" PRIx32 ".otlp"
#define NAME_LENGTH 88
#define HALF ".cprof-%016" PRIx64 "-%016" PRIx64 ".tmp"
#define HALF_LENGTH 44
#define PART_LENGTH 106

/* ---- names ---- */

/* What follows the key in the names of files and of parts. */
static bool read_entry(const char **text, struct spool_entry *entry)
{
    uint64_t parts, size, crc;
    if (!files_read_field(text, 16, &entry->time) ||
        !files_read_field(text, 16, &entry->unique) || !files_read_field(text, 8, &parts) ||
        !files_read_field(text, 8, &size) || !files_read_field(text, 8, &crc))
        return false;
    entry->parts = (uint32_t)parts;
    entry->size = (uint32_t)size;
    entry->crc = (uint32_t)crc;
    return true;
}

static bool read_key(const char **text, const char *prefix, uint64_t key)
{
    uint64_t found;
    return files_read_text(text, prefix) && files_read_hex(text, 16, &found) && found == key;
}

static bool parse_name(const char *name, uint64_t key, struct spool_entry *entry)
{
    return strlen(name) == NAME_LENGTH && read_key(&name, "cprof-", key) &&
           read_entry(&name, entry) && files_read_text(&name, ".otlp");
}

static bool parse_half(const char *name, uint64_t key, uint64_t *unique)
{
    return strlen(name) == HALF_LENGTH && read_key(&name, ".cprof-", key) &&
           files_read_field(&name, 16, unique) && files_read_text(&name, ".tmp");
}

static bool parse_part(const char *name, uint64_t key, uint64_t *into,
                       struct spool_entry *entry)
{
    return strlen(name) == PART_LENGTH && read_key(&name, ".cprof-", key) &&
           files_read_field(&name, 16, into) && read_entry(&name, entry) &&
           files_read_text(&name, ".part");
}

void spool_write_name(char name[SPOOL_NAME_SIZE], uint64_t key, const struct spool_entry *entry)
{
    snprintf(name, SPOOL_NAME_SIZE, NAME, key, entry->time, entry->unique, entry->parts,
             entry->size, entry->crc);
}

static void write_half_name(char name[SPOOL_NAME_SIZE], uint64_t key, uint64_t unique)
{
    snprintf(name, SPOOL_NAME_SIZE, HALF, key, unique);
}

/* Of a file with that name: what follows the key stays as it is, up to ".otlp". */
static void write_part_name(char part[SPOOL_NAME_SIZE], const struct spool *spool,
                            const char *name, uint64_t into)
{
    const size_t head = strlen("cprof-") + 16, rest = NAME_LENGTH - head - strlen(".otlp");
    snprintf(part, SPOOL_NAME_SIZE, ".cprof-%016" PRIx64 "-%016" PRIx64 "%.*s.part", spool->key,
             into, (int)rest, name + head);
}

bool spool_is_older(const struct spool_entry *a, const struct spool_entry *b)
{
    return a->time != b->time ? a->time < b->time : a->unique < b->unique;
}

/* ---- locks ---- */

int spool_open_folder(const struct spool *spool)
{
    return files_open_folder(spool->folder);
}

/* Its place in the list of those that are held, or NULL. Called with the lock held. */
static uint64_t *held_place(struct spool *spool, uint64_t unique)
{
    for (size_t i = 0; i < SPOOL_HELD; i++)
        if (spool->held[i] == unique)
            return &spool->held[i];
    return NULL;
}

static bool hold_unique(struct spool *spool, uint64_t unique)
{
    pthread_mutex_lock(&spool->lock);
    uint64_t *place = held_place(spool, unique) == NULL ? held_place(spool, 0) : NULL;
    if (place != NULL)
        *place = unique;
    pthread_mutex_unlock(&spool->lock);
    return place != NULL;
}

static void release_unique(struct spool *spool, uint64_t unique)
{
    pthread_mutex_lock(&spool->lock);
    uint64_t *place = held_place(spool, unique);
    if (place != NULL)
        *place = 0;
    pthread_mutex_unlock(&spool->lock);
}

int spool_hold(struct spool *spool, int folder, const struct spool_entry *entry,
               struct spool_item *item)
{
    *item = (struct spool_item){
        .time = entry->time, .unique = entry->unique, .parts = entry->parts};
    spool_write_name(item->name, spool->key, entry);
    if (entry->unique == 0 || !hold_unique(spool, entry->unique))
        return -EBUSY;
    item->file = files_open_locked(folder, item->name);
    if (item->file >= 0 && files_still_named(folder, item->name, item->file))
        return 0;
    int error = item->file < 0 ? item->file : -EBUSY;
    if (item->file >= 0)
        close(item->file);
    release_unique(spool, entry->unique);
    return error;
}

int spool_load(struct spool_item *item, const struct spool_entry *entry)
{
    item->size = entry->size;
    return files_load(item->file, entry->size, entry->crc, &item->data);
}

/* Closed first: any closing of the file in this process ends its lock. */
void spool_let_go(struct spool *spool, struct spool_item *item)
{
    free(item->data);
    item->data = NULL;
    close(item->file);
    release_unique(spool, item->unique);
}

/* ---- clearing up ---- */

/* Is there a part of the file with that unique? */
static bool has_parts(const struct spool *spool, uint64_t unique)
{
    struct spool_entry entry;
    uint64_t into;
    bool found = false;
    DIR *folder = opendir(spool->folder);
    if (folder == NULL)
        return true; /* as far as we know */
    for (struct dirent *file; !found && (file = readdir(folder)) != NULL;)
        found = parse_part(file->d_name, spool->key, &into, &entry) && into == unique;
    closedir(folder);
    return found;
}

/* A half-written file that nobody locks was left by a process that died. */
static void clean_up_half(const struct spool *spool, int folder, const char *name)
{
    uint64_t unique;
    if (!parse_half(name, spool->key, &unique) || unique == spool->writing)
        return;
    int file = files_open_locked(folder, name);
    if (file < 0)
        return;
    if (!has_parts(spool, unique))
        unlinkat(folder, name, 0);
    close(file);
}

/* Likewise a part: it goes where the file that it is in was settled, else it is whole again. */
static void clean_up_part(const struct spool *spool, int folder, const char *part)
{
    struct spool_entry entry;
    uint64_t into;
    char half[SPOOL_NAME_SIZE], name[SPOOL_NAME_SIZE];
    if (!parse_part(part, spool->key, &into, &entry) || into == spool->writing)
        return;
    int file = files_open_locked(folder, part);
    if (file < 0)
        return;
    write_half_name(half, spool->key, into);
    spool_write_name(name, spool->key, &entry);
    if (faccessat(folder, half, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        renameat(folder, part, folder, name);
    else if (errno == ENOENT)
        unlinkat(folder, part, 0);
    close(file);
}

int spool_read_folder(const struct spool *spool,
                      void (*each)(void *context, const struct spool_entry *entry),
                      void *context)
{
    DIR *folder = opendir(spool->folder);
    if (folder == NULL)
        return -errno;
    for (struct dirent *file; (file = readdir(folder)) != NULL;) {
        struct spool_entry entry;
        if (parse_name(file->d_name, spool->key, &entry)) {
            each(context, &entry);
        } else if (file->d_name[0] == '.') {
            clean_up_half(spool, dirfd(folder), file->d_name);
            clean_up_part(spool, dirfd(folder), file->d_name);
        }
    }
    closedir(folder);
    return 0;
}

/* ---- writing ---- */

int spool_write_half(struct spool *spool, int folder, const struct buffer *bytes,
                     const struct spool_entry *entry)
{
    char half[SPOOL_NAME_SIZE];
    write_half_name(half, spool->key, entry->unique);
    pthread_mutex_lock(&spool->lock);
    spool->writing = entry->unique;
    pthread_mutex_unlock(&spool->lock);
    return files_write(folder, half, bytes);
}

int spool_settle_half(const struct spool *spool, int folder, const struct spool_entry *entry)
{
    char half[SPOOL_NAME_SIZE], name[SPOOL_NAME_SIZE];
    write_half_name(half, spool->key, entry->unique);
    spool_write_name(name, spool->key, entry);
    return renameat(folder, half, folder, name) == 0 ? 0 : -errno;
}

void spool_remove_half(const struct spool *spool, int folder, const struct spool_entry *entry)
{
    char half[SPOOL_NAME_SIZE];
    write_half_name(half, spool->key, entry->unique);
    unlinkat(folder, half, 0);
}

int spool_hide(const struct spool *spool, int folder, const struct spool_item *item,
               uint64_t into)
{
    char part[SPOOL_NAME_SIZE];
    write_part_name(part, spool, item->name, into);
    return renameat(folder, item->name, folder, part) == 0 ? 0 : -errno;
}

int spool_show(const struct spool *spool, int folder, const struct spool_item *item,
               uint64_t into)
{
    char part[SPOOL_NAME_SIZE];
    write_part_name(part, spool, item->name, into);
    return renameat(folder, part, folder, item->name) == 0 ? 0 : -errno;
}

void spool_remove_part(const struct spool *spool, int folder, const struct spool_item *item,
                       uint64_t into)
{
    char part[SPOOL_NAME_SIZE];
    write_part_name(part, spool, item->name, into);
    unlinkat(folder, part, 0);
}
