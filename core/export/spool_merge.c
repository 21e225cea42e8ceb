/* Two files of a spool become one; spool_folder.h tells how that survives a crash. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/random.h"
#include "export/spool_folder.h"
#include "store/files.h"

#define LARGEST ((size_t)2 << 20) /* of two files together: what merging costs at once */
#define SHARE 16                  /* of the limit: the coarsest file there is */
#define TRIES 8                   /* others may hold the files */

/* All files of the key. */
struct files {
    struct spool_entry *list;
    size_t count, room;
};

static void add_file(void *context, const struct spool_entry *entry)
{
    struct files *files = context;
    if (files->count == files->room) {
        size_t room = files->room ? 2 * files->room : 256;
        struct spool_entry *list = realloc(files->list, room * sizeof *list);
        if (list == NULL)
            return; /* not among those that may be merged */
        files->list = list;
        files->room = room;
    }
    files->list[files->count++] = *entry;
}

static uint32_t writer_of(const struct spool_entry *entry)
{
    return (uint32_t)(entry->unique >> 32);
}

/* By writer, then by age. */
static int compare(const void *a, const void *b)
{
    const struct spool_entry *one = a, *other = b;
    if (writer_of(one) != writer_of(other))
        return writer_of(one) < writer_of(other) ? -1 : 1;
    return spool_is_older(one, other) ? -1 : spool_is_older(other, one) ? 1 : 0;
}

/* One that was sent may have arrived: only its own name and profile_id tell. */
static bool may_merge(const struct spool_entry *a, const struct spool_entry *b, size_t largest,
                      uint64_t tried)
{
    return writer_of(a) != 0 && writer_of(a) == writer_of(b) &&
           (size_t)a->size + b->size <= largest && a->parts <= UINT32_MAX - b->parts &&
           a->unique != tried && b->unique != tried;
}

static struct spool_entry *best_pair(const struct files *files, size_t largest, uint64_t tried)
{
    struct spool_entry *best = NULL;
    uint64_t fewest = UINT64_MAX;
    for (size_t i = 0; i + 1 < files->count; i++) {
        struct spool_entry *pair = &files->list[i];
        uint64_t parts = (uint64_t)pair[0].parts + pair[1].parts;
        if (parts < fewest && may_merge(&pair[0], &pair[1], largest, tried)) {
            best = pair;
            fewest = parts;
        }
    }
    return best;
}

static int hold_and_load(struct spool *spool, int folder, const struct spool_entry *entry,
                         struct spool_item *item)
{
    int error = spool_hold(spool, folder, entry, item);
    if (error == 0 && (error = spool_load(item, entry)) != 0)
        spool_let_go(spool, item);
    return error;
}

/* Whichever can't be had is left out from now on. */
static bool hold_pair(struct spool *spool, int folder, struct spool_entry entries[2],
                      struct spool_item pair[2])
{
    if (hold_and_load(spool, folder, &entries[0], &pair[0]) != 0) {
        entries[0].unique = 0;
        return false;
    }
    if (hold_and_load(spool, folder, &entries[1], &pair[1]) == 0)
        return true;
    entries[1].unique = 0;
    spool_let_go(spool, &pair[0]);
    return false;
}

static int find_pair(struct spool *spool, int folder, struct spool_item pair[2])
{
    struct files files = {0};
    size_t largest = spool->limit / SHARE < LARGEST ? spool->limit / SHARE : LARGEST;
    pthread_mutex_lock(&spool->lock);
    uint64_t tried = spool->tried;
    int error = spool_read_folder(spool, add_file, &files);
    pthread_mutex_unlock(&spool->lock);
    if (files.count > 0)
        qsort(files.list, files.count, sizeof *files.list, compare);
    bool held = false;
    for (int i = 0; i < TRIES && error == 0 && !held; i++) {
        struct spool_entry *best = best_pair(&files, largest, tried);
        if (best == NULL)
            break;
        held = hold_pair(spool, folder, best, pair);
    }
    free(files.list);
    return held ? 0 : -ENOENT;
}

int spool_take_pair(struct spool *spool, struct spool_item pair[2])
{
    pthread_mutex_lock(&spool->putting);
    bool crowded = spool->crowded;
    pthread_mutex_unlock(&spool->putting);
    int folder = crowded ? spool_open_folder(spool) : -ENOENT;
    if (folder < 0)
        return -ENOENT;
    int error = find_pair(spool, folder, pair);
    close(folder);
    return error;
}

void spool_back_pair(struct spool *spool, struct spool_item pair[2])
{
    spool_let_go(spool, &pair[0]);
    spool_let_go(spool, &pair[1]);
}

/* From both being hidden to the new one being there, or all as it was. The half-written one
 * goes last: as long as it is there, hidden files come back. */
static int swap(const struct spool *spool, int folder, const struct spool_item pair[2],
                const struct spool_entry *merged)
{
    int error = spool_hide(spool, folder, &pair[0], merged->unique);
    if (error == 0)
        error = spool_hide(spool, folder, &pair[1], merged->unique);
    if (error == 0)
        error = spool_settle_half(spool, folder, merged);
    for (size_t i = 0; i < 2; i++) {
        if (error == 0)
            spool_remove_part(spool, folder, &pair[i], merged->unique);
        else
            spool_show(spool, folder, &pair[i], merged->unique);
    }
    if (error != 0)
        spool_remove_half(spool, folder, merged);
    return error;
}

/* The older one's place in the order of time, and its writer. */
static struct spool_entry merged_entry(const struct spool_item pair[2],
                                       const struct buffer *bytes)
{
    uint64_t random[2];
    random_words(random);
    return (struct spool_entry){
        .time = pair[0].time,
        .unique = pair[0].unique >> 32 << 32 | (uint32_t)random[0] | 1,
        .parts = pair[0].parts + pair[1].parts,
        .size = (uint32_t)bytes->size,
        .crc = files_checksum(bytes->data, bytes->size),
    };
}

int spool_replace_pair(struct spool *spool, struct spool_item pair[2],
                       const struct buffer *bytes)
{
    int folder = bytes->size <= UINT32_MAX ? spool_open_folder(spool) : -EFBIG;
    int error = folder < 0 ? folder : 0;
    if (error == 0) {
        const struct spool_entry merged = merged_entry(pair, bytes);
        pthread_mutex_lock(&spool->putting);
        int file = spool_write_half(spool, folder, bytes, &merged);
        error = file < 0 ? file : 0;
        if (error == 0) {
            fdatasync(file); /* what it replaces may be on the disk itself */
            error = swap(spool, folder, pair, &merged);
            close(file);
        }
        pthread_mutex_unlock(&spool->putting);
        close(folder);
    }
    spool_back_pair(spool, pair);
    return error;
}
