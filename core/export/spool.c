#include "export/spool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/random.h"
#include "export/spool_folder.h"
#include "store/files.h"

/* The files of a key, as one reading of the folder finds them. */
struct listing {
    const struct spool_entry *after; /* only younger ones are listed; NULL: all */
    struct spool_entry oldest[SPOOL_LISTED];
    size_t listed; /* of those */
    size_t count, bytes;
};

static void list(void *context, const struct spool_entry *entry)
{
    struct listing *listing = context;
    size_t at = listing->listed;
    listing->count++;
    listing->bytes += entry->size;
    if (listing->after != NULL && !spool_is_older(listing->after, entry))
        return;
    if (at == SPOOL_LISTED && !spool_is_older(entry, &listing->oldest[at - 1]))
        return;
    if (at < SPOOL_LISTED)
        listing->listed++;
    else
        at--;
    for (; at > 0 && spool_is_older(entry, &listing->oldest[at - 1]); at--)
        listing->oldest[at] = listing->oldest[at - 1];
    listing->oldest[at] = *entry;
}

static int read_listing(struct spool *spool, const struct spool_entry *after,
                        struct listing *listing)
{
    *listing = (struct listing){.after = after};
    pthread_mutex_lock(&spool->lock);
    int error = spool_read_folder(spool, list, listing);
    pthread_mutex_unlock(&spool->lock);
    return error;
}

struct spool *spool_open(const char *folder, const char *key, size_t limit, char *error,
                         size_t error_size)
{
    struct spool *spool = calloc(1, sizeof *spool);
    if (spool == NULL)
        snprintf(error, error_size, "out of memory");
    else
        spool->folder = files_make_folder("CPROF_SPOOL_DIR", folder, error, error_size);
    if (spool == NULL || spool->folder == NULL) {
        free(spool);
        return NULL;
    }
    uint64_t random[2];
    random_words(random);
    spool->writer = (uint32_t)random[0] | 1;
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
    return read_listing(spool, NULL, &listing) == 0 ? listing.count : 0;
}

static void remove_item(const struct spool *spool, const struct spool_item *item)
{
    int folder = spool_open_folder(spool);
    if (folder < 0)
        return;
    unlinkat(folder, item->name, 0);
    close(folder);
}

/* ---- putting ---- */

/* Called with `putting` held. */
static int check_room(struct spool *spool, size_t size)
{
    struct listing listing;
    if (size > spool->limit || size > UINT32_MAX)
        return -EFBIG;
    int error = read_listing(spool, NULL, &listing);
    if (error != 0)
        return error;
    spool->crowded = listing.count >= SPOOL_MAX_FILES - SPOOL_MAX_FILES / 4 ||
                     listing.bytes + size > spool->limit - spool->limit / 4;
    return listing.count >= SPOOL_MAX_FILES || listing.bytes > spool->limit - size ? -ENOBUFS
                                                                                   : 0;
}

static int write_file(struct spool *spool, int folder, const struct buffer *bytes,
                      const struct spool_entry *entry)
{
    int file = spool_write_half(spool, folder, bytes, entry);
    if (file < 0)
        return file;
    int error = spool_settle_half(spool, folder, entry);
    if (error != 0)
        spool_remove_half(spool, folder, entry);
    close(file);
    return error;
}

int spool_put(struct spool *spool, const struct buffer *bytes, uint32_t parts, bool mergeable)
{
    uint64_t random[2], writer = mergeable ? spool->writer : 0;
    random_words(random);
    const struct spool_entry entry = {.time = clock_ns(CLOCK_REALTIME),
                                      .unique = writer << 32 | (uint32_t)random[0] | 1,
                                      .parts = parts,
                                      .size = (uint32_t)bytes->size,
                                      .crc = files_checksum(bytes->data, bytes->size)};
    int folder = spool_open_folder(spool);
    if (folder < 0)
        return folder;
    pthread_mutex_lock(&spool->putting);
    int error = check_room(spool, bytes->size);
    if (error == 0)
        error = write_file(spool, folder, bytes, &entry);
    pthread_mutex_unlock(&spool->putting);
    close(folder);
    return error;
}

int spool_give_up(struct spool *spool, struct spool_item *item)
{
    struct listing listing;
    int error = read_listing(spool, NULL, &listing);
    if (error != 0)
        return error;
    int folder = spool_open_folder(spool);
    if (folder < 0)
        return folder;
    error = -ENOENT;
    for (size_t i = 0; i < listing.listed && error != 0; i++) {
        error = spool_hold(spool, folder, &listing.oldest[i], item);
        if (error == 0)
            spool_load(item, &listing.oldest[i]);
    }
    close(folder);
    return error == 0 ? 0 : -ENOENT;
}

/* ---- taking ---- */

/* Lists the oldest files, or those that follow the last one listed. */
static int read_list(struct spool *spool, bool following)
{
    struct listing listing;
    int error = read_listing(spool, following ? &spool->listed[spool->listed_count - 1] : NULL,
                             &listing);
    if (error != 0)
        return error;
    memcpy(spool->listed, listing.oldest, sizeof spool->listed);
    spool->listed_count = listing.listed;
    spool->listed_next = 0;
    return 0;
}

/* Behind a full list there may be more files: all of the listed may be held by others, or be
 * another user's for ever. */
static int next_listed(struct spool *spool, bool *read_anew, struct spool_entry *entry)
{
    while (spool->listed_next == spool->listed_count) {
        bool more = spool->listed_count == SPOOL_LISTED;
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

int spool_take(struct spool *spool, struct spool_item *item, char *error, size_t error_size)
{
    bool read_anew = false;
    struct spool_entry entry;
    int result, folder = spool_open_folder(spool);
    if (folder < 0)
        return folder;
    while ((result = next_listed(spool, &read_anew, &entry)) == 0)
        if (spool_hold(spool, folder, &entry, item) == 0)
            break;
    close(folder);
    if (result == 0 && (result = spool_load(item, &entry)) != 0) {
        if (result == -EBADMSG) {
            snprintf(error, error_size, "%s in %s is damaged and removed", item->name,
                     spool->folder);
            remove_item(spool, item);
        }
        spool_let_go(spool, item);
    }
    return result;
}

void spool_done(struct spool *spool, struct spool_item *item)
{
    remove_item(spool, item);
    spool_let_go(spool, item);
}

/* The name must outlive a loss of power too, and lies in the folder. */
void spool_back(struct spool *spool, struct spool_item *item)
{
    int folder = spool_open_folder(spool);
    fdatasync(item->file);
    if (folder >= 0) {
        fsync(folder);
        close(folder);
    }
    pthread_mutex_lock(&spool->lock);
    spool->tried = item->unique;
    pthread_mutex_unlock(&spool->lock);
    spool_let_go(spool, item);
    spool->listed_next = spool->listed_count = 0; /* it is the oldest still */
}
