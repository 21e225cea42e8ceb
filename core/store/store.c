#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "format/block.h"
#include "store/entry.h"
#include "store/files.h"
#include "store/lot.h"
#include "store/swap.h"

#define TEND_PUTS 6                        /* a minute of intervals */
#define TEND_BYTES 64                      /* or that part of the limit */
#define MEMORY_SHARE 8                     /* of the budget: what a rewriting holds at most */
#define MEMORY_UNBOUNDED ((size_t)4 << 20) /* the same without a budget */
#define LOT_SHARE 8                        /* of that: a lot's files, packed */
#define LOT_SHARE_OF_LIMIT 8               /* likewise of the limit */

struct store {
    char *folder;
    uint64_t key;
    size_t limit, memory;
    struct ages ages;
    struct budget *budget;
    uint64_t bytes;     /* of the folder, as far as is known here */
    uint64_t put_bytes; /* of those, since it was tended */
    unsigned puts;      /* likewise */
    bool more;          /* the last tending left something to do */
    bool told_full;
    size_t largest; /* bytes of a lot's files: less than of one that did not fit into memory */
};

struct store *store_open(const struct store_options *options, char *error, size_t error_size)
{
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    store->folder = files_make_folder(STORE_VARIABLE, options->folder, error, error_size);
    if (store->folder == NULL) {
        free(store);
        return NULL;
    }
    store->key = entry_key(options->service != NULL ? options->service : "");
    store->limit = options->limit;
    store->ages = options->ages;
    store->budget = options->budget;
    store->memory = options->budget != NULL && options->budget->limit != 0
                        ? options->budget->limit / MEMORY_SHARE
                        : MEMORY_UNBOUNDED;
    size_t of_limit = store->limit / LOT_SHARE_OF_LIMIT;
    store->largest = store->memory / LOT_SHARE;
    if (store->largest > of_limit)
        store->largest = of_limit;
    store->more = true; /* what others left */
    return store;
}

void store_close(struct store *store)
{
    free(store->folder);
    free(store);
}

/* ---- tending ---- */

/* The lock's descriptor, or -EBUSY, or another negative errno. */
static int lock_folder(int folder)
{
    int file = openat(folder, STORE_LOCK,
                      O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (file < 0)
        return -errno;
    if (fcntl(file, F_SETLK, &whole) == 0)
        return file;
    close(file);
    return -EBUSY;
}

static void remove_entry(int folder, struct entries *entries, size_t index)
{
    char name[ENTRY_NAME_SIZE];
    entry_write_name(name, &entries->list[index]);
    unlinkat(folder, name, 0);
    entries_remove(entries, index);
}

static bool is_over(const struct store *store, const struct entries *entries, uint64_t room)
{
    return entries->bytes + room > store->limit || entries->count > STORE_MAX_FILES;
}

/* What is too old goes, and what ends first where the folder is over its limit. `room` is for
 * what is about to be put. */
static void give_up(struct store *store, int folder, struct entries *entries, uint64_t now,
                    uint64_t room)
{
    const uint64_t last = store->ages.list[store->ages.count - 1].keep;
    entries_sort_by_end(entries);
    while (entries->count > 0 && entries->list[0].to + last < now)
        remove_entry(folder, entries, 0);
    bool over = is_over(store, entries, room);
    while (entries->count > 0 && is_over(store, entries, room))
        remove_entry(folder, entries, 0);
    if (over && !store->told_full)
        log_info("store: %s is full (CPROF_STORE_LIMIT): the oldest profiles make room",
                 store->folder);
    store->told_full |= over;
}

static void remove_damaged(const struct store *store, int folder, struct entries *entries,
                           size_t index)
{
    char name[ENTRY_NAME_SIZE];
    entry_write_name(name, &entries->list[index]);
    log_warn("store: %s in %s is damaged and removed", name, store->folder);
    remove_entry(folder, entries, index);
}

/* A file that is too large to be rewritten keeps its intervals, and counts as what it was to
 * become. */
static void relabel(int folder, struct entry *entry, uint32_t resolution)
{
    char old[ENTRY_NAME_SIZE], new[ENTRY_NAME_SIZE];
    entry_write_name(old, entry);
    entry->resolution = resolution;
    entry_write_name(new, entry);
    renameat(folder, old, folder, new);
}

static size_t bytes_of(const struct entries *entries, const struct lot *lot)
{
    size_t bytes = 0;
    for (size_t i = lot->first; i < lot->first + lot->count; i++)
        bytes += entries->list[i].size;
    return bytes;
}

/* With half of the files for as long as the memory does not suffice; lots are smaller from then
 * on, so that none is tried in vain again. One file alone has nothing to be joined with. */
static int rewrite(struct store *store, int folder, struct entries *entries, struct lot *lot)
{
    const size_t least = lot->merge ? 1 : 2;
    struct entry made;
    size_t damaged = 0;
    int status;
    do {
        status =
            lot_rewrite(folder, entries, lot, store->budget, store->memory, &made, &damaged);
        if (status != -E2BIG)
            break;
        store->largest = bytes_of(entries, lot) / 2;
        if (lot->count == 1)
            relabel(folder, &entries->list[lot->first], lot->resolution);
        lot->count /= 2;
    } while (lot->count >= least);
    if (status == -EBADMSG)
        remove_damaged(store, folder, entries, damaged);
    if (status != 0)
        return status;
    status = swap_make(folder, &made, &entries->list[lot->first], lot->count);
    log_debug("store: %zu files as one of %u bytes, %u s each: %s", lot->count, made.size,
              made.resolution, status == 0 ? "done" : "put off");
    return status;
}

/* 1: there may be more. */
static int rewrite_some(struct store *store, int folder, struct entries *entries, uint64_t now)
{
    const struct lot_rules rules = {
        .ages = &store->ages, .now = now, .largest = store->largest};
    struct lot lot;
    entries_sort(entries);
    if (!lot_find(entries, &rules, &lot))
        return 0;
    int status = rewrite(store, folder, entries, &lot);
    return status == -EBADMSG || status == -E2BIG || status == 0 ? 1 : status;
}

static int tend_folder(struct store *store, int folder, uint64_t now, uint64_t room)
{
    struct entries entries = {0};
    swap_recover(folder);
    int status = entries_read(&entries, store->folder, true);
    if (status == 0) {
        give_up(store, folder, &entries, now, room);
        store->bytes = entries.bytes;
        store->puts = 0;
        store->put_bytes = 0;
        status = rewrite_some(store, folder, &entries, now);
    }
    entries_free(&entries);
    return status;
}

static int tend_for(struct store *store, uint64_t now, uint64_t room)
{
    int folder = files_open_folder(store->folder);
    if (folder < 0)
        return folder;
    int lock = lock_folder(folder), status = lock;
    if (lock >= 0) {
        status = tend_folder(store, folder, now, room);
        close(lock);
    }
    close(folder);
    store->more = status == 1;
    return status;
}

int store_tend(struct store *store, uint64_t now)
{
    return tend_for(store, now, 0);
}

bool store_wants_tending(const struct store *store)
{
    return store->more || store->puts >= TEND_PUTS ||
           store->put_bytes > store->limit / TEND_BYTES;
}

/* ---- putting ---- */

static struct entry entry_of(const struct store *store, const struct profile *profile,
                             uint64_t now, const struct buffer *bytes)
{
    const struct profile_header *header = profile_header_const(profile);
    uint64_t random[2], from = header->time_ns != 0 ? header->time_ns : now;
    random_words(random);
    return (struct entry){.key = store->key,
                          .from = from,
                          .to = from + header->duration_ns,
                          .unique = random[0] | 1,
                          .count = 1,
                          .size = (uint32_t)bytes->size,
                          .crc = files_checksum(bytes->data, bytes->size)};
}

static int write_file(const struct store *store, const struct entry *entry,
                      const struct buffer *bytes)
{
    char half[ENTRY_NAME_SIZE], name[ENTRY_NAME_SIZE];
    int folder = files_open_folder(store->folder);
    if (folder < 0)
        return folder;
    entry_write_half_name(half, entry->unique);
    entry_write_name(name, entry);
    int file = files_write(folder, half, bytes), status = file < 0 ? file : 0;
    if (file >= 0) {
        if (renameat(folder, half, folder, name) != 0) {
            status = -errno;
            unlinkat(folder, half, 0);
        }
        close(file);
    }
    close(folder);
    return status;
}

int store_put(struct store *store, const struct profile *profile, uint64_t now, size_t *size)
{
    struct buffer bytes = {0};
    int status = block_write_alone(profile, store->budget, &bytes);
    *size = bytes.size;
    if (status == 0 && (bytes.size > store->limit || bytes.size > UINT32_MAX))
        status = -EFBIG;
    if (status == 0) {
        if (store->bytes + bytes.size > store->limit)
            tend_for(store, now, bytes.size);
        const struct entry entry = entry_of(store, profile, now, &bytes);
        status = write_file(store, &entry, &bytes);
    }
    if (status == 0) {
        store->bytes += bytes.size;
        store->put_bytes += bytes.size;
        store->puts++;
    }
    buffer_free(&bytes);
    return status;
}
