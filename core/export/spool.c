#include "export/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/random.h"

#define NAME                                                                                   \
    "cprof-%016" PRIx64 "-%016" PRIx64 "-%016" PRIx64 "-%08" PRIx32 "-%08" PRIx32 ".otlp"
#define NAME_LENGTH 79
#define HALF_WRITTEN ".cprof-%016" PRIx64 "-%016" PRIx64 ".tmp"
#define HALF_WRITTEN_LENGTH 44
#define MAX_FILES 10000
#define LISTED 64 /* of the oldest files, remembered between two readings of the folder */

/* What a name tells. */
struct entry {
    uint64_t time, unique;
    uint32_t size, crc;
};

struct spool {
    char *folder;
    uint64_t key;
    size_t limit;
    struct entry listed[LISTED]; /* the taker's: oldest first */
    size_t listed_count, listed_next;
    pthread_mutex_t putting; /* taken before `lock`: one file is half-written at a time */
    pthread_mutex_t lock;    /* the two below: fcntl's locks do not part threads */
    uint64_t held;           /* unique of the file that was taken; 0: none */
    uint64_t writing;        /* unique of the half-written file */
};

/* The files of a key, as one reading of the folder finds them. */
struct listing {
    struct entry oldest[LISTED];
    size_t listed; /* of those */
    size_t count, bytes;
};

/* ---- names ---- */

static bool read_hex(const char **text, int digits, uint64_t *number)
{
    *number = 0;
    for (; digits > 0; digits--, ++*text) {
        char c = **text;
        int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (value < 0)
            return false;
        *number = *number << 4 | (uint64_t)value;
    }
    return true;
}

static bool read_text(const char **text, const char *expected)
{
    size_t length = strlen(expected);
    bool same = strncmp(*text, expected, length) == 0;
    *text += same ? length : 0;
    return same;
}

static bool parse_name(const char *name, uint64_t key, struct entry *entry)
{
    uint64_t found, size, crc;
    if (strlen(name) != NAME_LENGTH || !read_text(&name, "cprof-") ||
        !read_hex(&name, 16, &found) || found != key || !read_text(&name, "-") ||
        !read_hex(&name, 16, &entry->time) || !read_text(&name, "-") ||
        !read_hex(&name, 16, &entry->unique) || !read_text(&name, "-") ||
        !read_hex(&name, 8, &size) || !read_text(&name, "-") || !read_hex(&name, 8, &crc) ||
        !read_text(&name, ".otlp"))
        return false;
    entry->size = (uint32_t)size;
    entry->crc = (uint32_t)crc;
    return true;
}

static void write_name(char name[96], uint64_t key, const struct entry *entry)
{
    snprintf(name, 96, NAME, key, entry->time, entry->unique, entry->size, entry->crc);
}

static bool is_older(const struct entry *a, const struct entry *b)
{
    return a->time != b->time ? a->time < b->time : a->unique < b->unique;
}

static uint32_t checksum(const unsigned char *data, size_t size)
{
    return (uint32_t)crc32_z(crc32_z(0, NULL, 0), data, size);
}

/* ---- the folder ---- */

static int open_folder(const struct spool *spool)
{
    int folder = open(spool->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return folder < 0 ? -errno : folder;
}

/* The file, locked, if it is ours to have: a plain file of this user that is still there and
 * that no other process holds. */
static int open_locked(int folder, const char *name)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat status;
    int file = openat(folder, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0)
        return -errno;
    if (fcntl(file, F_SETLK, &whole) == 0 && fstat(file, &status) == 0 &&
        S_ISREG(status.st_mode) && status.st_uid == geteuid() && status.st_nlink > 0)
        return file;
    close(file);
    return -EBUSY;
}

/* A half-written file that nobody locks was left by a process that died. */
static void clean_up(const struct spool *spool, int folder, const char *name)
{
    uint64_t key, unique;
    const char *at = name;
    if (strlen(name) != HALF_WRITTEN_LENGTH || !read_text(&at, ".cprof-") ||
        !read_hex(&at, 16, &key) || key != spool->key || !read_text(&at, "-") ||
        !read_hex(&at, 16, &unique) || unique == spool->writing)
        return;
    int file = open_locked(folder, name);
    if (file < 0)
        return;
    unlinkat(folder, name, 0);
    close(file);
}

/* NULL `after`: no file is too old to be listed. */
static void list(struct listing *listing, const struct entry *after, const struct entry *entry)
{
    size_t at = listing->listed;
    listing->count++;
    listing->bytes += entry->size;
    if (after != NULL && !is_older(after, entry))
        return;
    if (at == LISTED && !is_older(entry, &listing->oldest[at - 1]))
        return;
    if (at < LISTED)
        listing->listed++;
    else
        at--;
    for (; at > 0 && is_older(entry, &listing->oldest[at - 1]); at--)
        listing->oldest[at] = listing->oldest[at - 1];
    listing->oldest[at] = *entry;
}

/* Called with the lock held. */
static int read_folder(const struct spool *spool, const struct entry *after,
                       struct listing *listing)
{
    *listing = (struct listing){0};
    DIR *folder = opendir(spool->folder);
    if (folder == NULL)
        return -errno;
    for (struct dirent *file; (file = readdir(folder)) != NULL;) {
        struct entry entry;
        if (parse_name(file->d_name, spool->key, &entry))
            list(listing, after, &entry);
        else if (file->d_name[0] == '.')
            clean_up(spool, dirfd(folder), file->d_name);
    }
    closedir(folder);
    return 0;
}

struct spool *spool_open(const char *folder, const char *key, size_t limit, char *error,
                         size_t error_size)
{
    struct spool *spool = calloc(1, sizeof *spool);
    if (spool == NULL || (spool->folder = realpath(folder, NULL)) == NULL) {
        if (spool != NULL && errno == ENOENT && mkdir(folder, 0700) == 0)
            spool->folder = realpath(folder, NULL);
    }
    if (spool == NULL || spool->folder == NULL ||
        faccessat(AT_FDCWD, spool->folder, R_OK | W_OK | X_OK, AT_EACCESS) != 0) {
        snprintf(error, error_size, "CPROF_SPOOL_DIR: '%s': %s", folder, strerror(errno));
        if (spool != NULL)
            free(spool->folder);
        free(spool);
        return NULL;
    }
    spool->key = hash_bytes(key, strlen(key));
    spool->limit = limit;
    pthread_mutex_init(&spool->putting, NULL);
    pthread_mutex_init(&spool->lock, NULL);
    return spool;
}

void spool_close(struct spool *spool)
{
    pthread_mutex_destroy(&spool->lock);
    pthread_mutex_destroy(&spool->putting);
    free(spool->folder);
    free(spool);
}

size_t spool_count(struct spool *spool)
{
    struct listing listing;
    pthread_mutex_lock(&spool->lock);
    int error = read_folder(spool, NULL, &listing);
    pthread_mutex_unlock(&spool->lock);
    return error == 0 ? listing.count : 0;
}

/* ---- putting ---- */

/* Called with the lock held. */
static bool remove_oldest(const struct spool *spool, int folder, const struct listing *listing)
{
    char name[96];
    for (size_t i = 0; i < listing->listed; i++) {
        if (listing->oldest[i].unique == spool->held)
            continue;
        write_name(name, spool->key, &listing->oldest[i]);
        int file = open_locked(folder, name);
        if (file < 0)
            continue;
        bool removed = unlinkat(folder, name, 0) == 0;
        close(file);
        if (removed)
            return true;
    }
    return false;
}

static int make_room(struct spool *spool, int folder, size_t size, uint64_t *dropped)
{
    struct listing listing;
    int error;
    if (size > spool->limit || size > UINT32_MAX)
        return -EFBIG;
    pthread_mutex_lock(&spool->lock);
    while ((error = read_folder(spool, NULL, &listing)) == 0 &&
           (listing.count >= MAX_FILES || listing.bytes > spool->limit - size)) {
        if (!remove_oldest(spool, folder, &listing)) {
            error = -ENOSPC;
            break;
        }
        ++*dropped;
    }
    pthread_mutex_unlock(&spool->lock);
    return error;
}

static int write_all(int file, const unsigned char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(file, data, size);
        if (written < 0 && errno != EINTR)
            return -errno;
        if (written > 0) {
            data += written;
            size -= (size_t)written;
        }
    }
    return 0;
}

static int write_file(const struct spool *spool, int folder, const struct buffer *bytes,
                      const struct entry *entry)
{
    char half[96], name[96];
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    snprintf(half, sizeof half, HALF_WRITTEN, spool->key, entry->unique);
    write_name(name, spool->key, entry);
    int file = openat(folder, half, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0)
        return -errno;
    int error = fcntl(file, F_SETLK, &whole) == 0 ? 0 : -errno;
    if (error == 0)
        error = write_all(file, bytes->data, bytes->size);
    if (error == 0 && renameat(folder, half, folder, name) != 0)
        error = -errno;
    if (error != 0)
        unlinkat(folder, half, 0);
    close(file);
    return error;
}

int spool_put(struct spool *spool, const struct buffer *bytes, uint64_t *dropped)
{
    uint64_t random[2];
    random_words(random);
    const struct entry entry = {.time = clock_ns(CLOCK_REALTIME),
                                .unique = random[0] | 1, /* 0 means none */
                                .size = (uint32_t)bytes->size,
                                .crc = checksum(bytes->data, bytes->size)};
    int folder = open_folder(spool);
    if (folder < 0)
        return folder;
    pthread_mutex_lock(&spool->putting);
    int error = make_room(spool, folder, bytes->size, dropped);
    if (error == 0) {
        pthread_mutex_lock(&spool->lock);
        spool->writing = entry.unique;
        pthread_mutex_unlock(&spool->lock);
        error = write_file(spool, folder, bytes, &entry);
    }
    pthread_mutex_unlock(&spool->putting);
    close(folder);
    return error;
}

/* ---- taking ---- */

/* Lists the oldest files, or those that follow the last one listed. */
static int read_list(struct spool *spool, bool following)
{
    struct listing listing;
    pthread_mutex_lock(&spool->lock);
    int error = read_folder(spool, following ? &spool->listed[spool->listed_count - 1] : NULL,
                            &listing);
    pthread_mutex_unlock(&spool->lock);
    if (error != 0)
        return error;
    memcpy(spool->listed, listing.oldest, sizeof spool->listed);
    spool->listed_count = listing.listed;
    spool->listed_next = 0;
    return 0;
}

/* Behind a full list there may be more files: all of the listed may be held by others, or be
 * another user's for ever. */
static int next_listed(struct spool *spool, bool *read_anew, struct entry *entry)
{
    while (spool->listed_next == spool->listed_count) {
        bool more = spool->listed_count == LISTED;
        if (!more && *read_anew)
            return -ENOENT;
        *read_anew |= !more;
        int error = read_list(spool, more);
        if (error != 0)
            return error;
    }
    *entry = spool->listed[spool->listed_next++];
    return 0;
}

/* 0, -ENOMEM, or -EBADMSG: it is not what its name says. Not mapped: a file that somebody cuts
 * short would be a SIGBUS. */
static int load(struct spool_item *item, const struct entry *entry)
{
    struct stat status;
    if (fstat(item->file, &status) != 0 || status.st_size != (off_t)entry->size)
        return -EBADMSG;
    item->size = entry->size;
    item->data = malloc(item->size + 1);
    if (item->data == NULL)
        return -ENOMEM;
    size_t have = 0;
    while (have < item->size) {
        ssize_t got = pread(item->file, item->data + have, item->size - have, (off_t)have);
        if (got <= 0 && !(got < 0 && errno == EINTR))
            break;
        have += got > 0 ? (size_t)got : 0;
    }
    if (have == item->size && checksum(item->data, item->size) == entry->crc)
        return 0;
    free(item->data);
    return -EBADMSG;
}

static void hold(struct spool *spool, uint64_t unique)
{
    pthread_mutex_lock(&spool->lock);
    spool->held = unique;
    pthread_mutex_unlock(&spool->lock);
}

static void let_go(struct spool *spool, struct spool_item *item)
{
    close(item->file);
    hold(spool, 0);
}

static void remove_item(const struct spool *spool, const struct spool_item *item)
{
    int folder = open_folder(spool);
    if (folder < 0)
        return;
    unlinkat(folder, item->name, 0);
    close(folder);
}

int spool_take(struct spool *spool, struct spool_item *item, char *error, size_t error_size)
{
    bool read_anew = false;
    struct entry entry;
    int result, folder = open_folder(spool);
    if (folder < 0)
        return folder;
    while ((result = next_listed(spool, &read_anew, &entry)) == 0) {
        *item = (struct spool_item){0};
        write_name(item->name, spool->key, &entry);
        hold(spool, entry.unique);
        item->file = open_locked(folder, item->name);
        if (item->file >= 0)
            break;
        hold(spool, 0);
    }
    close(folder);
    if (result == 0 && (result = load(item, &entry)) != 0) {
        if (result == -EBADMSG) {
            snprintf(error, error_size, "%s in %s is damaged and removed", item->name,
                     spool->folder);
            remove_item(spool, item);
        }
        let_go(spool, item);
    }
    return result;
}

void spool_done(struct spool *spool, struct spool_item *item)
{
    remove_item(spool, item);
    free(item->data);
    let_go(spool, item);
}

/* The name must outlive a loss of power too, and lies in the folder. */
void spool_back(struct spool *spool, struct spool_item *item)
{
    int folder = open_folder(spool);
    fdatasync(item->file);
    if (folder >= 0) {
        fsync(folder);
        close(folder);
    }
    free(item->data);
    let_go(spool, item);
    spool->listed_next = spool->listed_count = 0; /* it is the oldest still */
}
