#include "store/read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/block.h"
#include "format/digest.h"
#include "format/summary.h"
#include "store/ahead.h"
#include "store/entry.h"
#include "store/files.h"
#include "store/store.h"
#include "store/swap.h"

#define TRIES 8 /* while others rewrite */

struct reading {
    const struct store_range *range;
    const struct store_visitor *visitor; /* of profiles, or */
    const struct store_survey *survey;   /* of marks */
    void (*again)(void *closure);        /* theirs */
    void *closure;
    const char *path;
    int folder;
    struct entries entries;
    struct ahead ahead;
    uint64_t half; /* unique of the one that bears its half-written name still */
    size_t bytes;  /* of an interval of the file that is being surveyed */
    char *error;
};

/* More than half of the shorter one; of two halves the first one counts. */
bool store_belongs(const struct store_range *range, uint64_t from, uint64_t to)
{
    uint64_t begin = from > range->from ? from : range->from;
    uint64_t end = to < range->to ? to : range->to;
    if (from == to)
        return from >= range->from && from < range->to;
    if (begin >= end)
        return false;
    uint64_t length = to - from, wanted = range->to - range->from, common = end - begin;
    uint64_t shorter = length < wanted ? length : wanted;
    return common > shorter - common || (common == shorter - common && from >= range->from);
}

static bool wants(void *closure, uint64_t from, uint64_t to)
{
    const struct reading *r = closure;
    return store_belongs(r->range, from, to >= from ? to : from);
}

static int take(void *closure, struct profile *interval)
{
    const struct reading *r = closure;
    return r->visitor->take(r->visitor->closure, interval);
}

static int into(void *closure, const struct profile *head, struct block_target *target)
{
    const struct reading *r = closure;
    return r->visitor->into(r->visitor->closure, head, target);
}

/* Held by nobody who tends while this is open. -1: it can't be had, or there is none. */
static int share_lock(int folder)
{
    struct flock whole = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    int file = openat(folder, STORE_LOCK, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file >= 0)
        fcntl(file, F_SETLKW, &whole);
    return file;
}

static int list(struct reading *r)
{
    int lock = share_lock(r->folder);
    entries_free(&r->entries);
    int status = entries_read(&r->entries, r->path, false);
    if (status == 0)
        status = swap_apply(r->folder, &r->entries, &r->half);
    if (lock >= 0)
        close(lock);
    entries_sort_by_end(&r->entries);
    return status;
}

static void tell_damaged(const struct reading *r, const char *name, const char *why)
{
    char line[2 * FORMAT_ERROR_SIZE];
    snprintf(line, sizeof line, "%s: %s; the rest is read", name, why);
    if (r->visitor->damaged != NULL)
        r->visitor->damaged(r->visitor->closure, line);
}

/* Its descriptor; -ENOENT: it has gone. */
static int open_entry(const struct reading *r, const struct entry *entry,
                      char name[ENTRY_NAME_SIZE])
{
    if (entry->unique == r->half)
        entry_write_half_name(name, entry->unique);
    else
        entry_write_name(name, entry);
    int file = openat(r->folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    return file < 0 ? -errno : file;
}

/* Is it the file's own fault that it can't be opened? It is a link, somebody else's, no file.
 */
static bool is_left_out(int status)
{
    return status == -ELOOP || status == -EACCES || status == -EPERM || status == -ENXIO ||
           status == -EIO;
}

/* A file on its way to the visitor. */
struct loaded {
    int status; /* of opening it, or of reading it */
    bool left_out;
    char name[ENTRY_NAME_SIZE], why[FORMAT_ERROR_SIZE];
    unsigned char *data;
    struct block *block;
};

static const struct block_visitor *block_visitor(struct reading *r, struct block_visitor *own)
{
    *own = (struct block_visitor){.closure = r,
                                  .wants = wants,
                                  .take = take,
                                  .into = r->visitor->into != NULL ? into : NULL};
    return own;
}

/* Opens the block, and reads its samples where there is a thread for that. */
static void load_block(struct reading *r, const struct entry *entry, int file,
                       struct loaded *loaded)
{
    struct block_visitor visitor;
    snprintf(loaded->why, sizeof loaded->why, "is damaged");
    loaded->status = files_load(file, entry->size, entry->crc, &loaded->data);
    if (loaded->status == 0)
        loaded->status = block_open(loaded->data, entry->size, &loaded->block, loaded->why);
    if (loaded->status == 0 && ahead_is_worth(&r->ahead))
        block_prepare(loaded->block, block_visitor(r, &visitor));
}

static void *load(void *closure, size_t number)
{
    struct reading *r = closure;
    const struct entry *entry = &r->entries.list[number];
    struct loaded *loaded = calloc(1, sizeof *loaded);
    if (loaded == NULL)
        return NULL;
    int file = open_entry(r, entry, loaded->name);
    if (file >= 0) {
        load_block(r, entry, file, loaded);
        close(file);
        return loaded;
    }
    loaded->status = file;
    loaded->left_out = is_left_out(file);
    snprintf(loaded->why, sizeof loaded->why, "%s",
             file == -ELOOP ? "is a link" : strerror(-file));
    return loaded;
}

static void drop(void *given)
{
    struct loaded *loaded = given;
    block_close(loaded->block);
    free(loaded->data);
    free(loaded);
}

/* Shows what has been loaded, and drops it. */
static int show(struct reading *r, struct loaded *loaded)
{
    struct block_visitor visitor;
    if (loaded == NULL)
        return -ENOMEM;
    int status = loaded->status;
    if (status == 0)
        status = block_show(loaded->block, block_visitor(r, &visitor), loaded->why);
    if (loaded->left_out || status == -EBADMSG) {
        tell_damaged(r, loaded->name, loaded->why);
        status = 0;
    }
    drop(loaded);
    return status;
}

static bool is_asked_for(const struct store_range *range, const struct entry *entry)
{
    return (range->service == NULL || entry->key == entry_key(range->service)) &&
           entry->from < range->to && entry->to >= range->from;
}

static int open_folder(const char *path, int *folder, char error[FORMAT_ERROR_SIZE])
{
    *folder = files_open_folder(path);
    if (*folder < 0)
        snprintf(error, FORMAT_ERROR_SIZE, "%.200s: %s", path, strerror(-*folder));
    return *folder < 0 ? *folder : 0;
}

/* Leaves those that are asked for in the list. */
static void choose(struct reading *r)
{
    size_t count = 0;
    for (size_t i = 0; i < r->entries.count; i++)
        if (is_asked_for(r->range, &r->entries.list[i]))
            r->entries.list[count++] = r->entries.list[i];
    r->entries.count = count;
}

static int read_profiles(struct reading *r)
{
    int status = 0;
    r->ahead =
        (struct ahead){.load = load, .drop = drop, .closure = r, .count = r->entries.count};
    ahead_begin(&r->ahead);
    for (size_t i = 0; status == 0 && i < r->entries.count; i++)
        status = show(r, ahead_next(&r->ahead));
    ahead_end(&r->ahead);
    return status;
}

static int read_all(struct reading *r, int (*read_them)(struct reading *))
{
    int status = list(r);
    choose(r);
    return status == 0 ? read_them(r) : status;
}

/* Again and again while others rewrite what is to be read. */
static int read_folder(struct reading *r, int (*read_them)(struct reading *))
{
    int status = open_folder(r->path, &r->folder, r->error);
    if (status != 0)
        return status;
    r->error[0] = '\0';
    status = read_all(r, read_them);
    for (int i = 1; i < TRIES && status == -ENOENT; i++) {
        r->again(r->closure);
        status = read_all(r, read_them);
    }
    if (status != 0 && r->error[0] == '\0')
        snprintf(r->error, FORMAT_ERROR_SIZE, "%.200s: %s", r->path, strerror(-status));
    entries_free(&r->entries);
    close(r->folder);
    return status;
}

int store_read(const char *path, const struct store_range *range,
               const struct store_visitor *visitor, char error[FORMAT_ERROR_SIZE])
{
    struct reading r = {.range = range,
                        .visitor = visitor,
                        .path = path,
                        .error = error,
                        .again = visitor->again,
                        .closure = visitor->closure};
    return read_folder(&r, read_profiles);
}

/* ---- surveys ---- */

static void show_mark(const struct reading *r, const struct store_mark *mark)
{
    if (mark->from < r->range->to && mark->to >= r->range->from)
        r->survey->mark(r->survey->closure, mark);
}

static void show_digest(const struct reading *r, const struct digest *digest)
{
    for (size_t i = 0; i < digest->intervals.rows; i++) {
        const uint64_t *row = columns_row(&digest->intervals, i);
        const uint64_t from = row[DIGEST_TIME], length = row[DIGEST_DURATION];
        const struct store_mark mark = {.service = digest->service,
                                        .type = digest->types[row[DIGEST_TYPE]].name,
                                        .unit = digest->types[row[DIGEST_TYPE]].unit,
                                        .from = from,
                                        .to = length <= UINT64_MAX - from ? from + length
                                                                          : UINT64_MAX,
                                        .total = (int64_t)row[DIGEST_TOTAL],
                                        .bytes = r->bytes};
        show_mark(r, &mark);
    }
}

static int mark_interval(void *closure, struct profile *interval)
{
    const struct reading *r = closure;
    const struct profile_header *header = profile_header_const(interval);
    const size_t column = profile_default_column(interval);
    const char *service = profile_service(interval);
    const struct store_mark mark = {.service = service != NULL ? service : "",
                                    .type = profile_type(interval, column),
                                    .unit = profile_unit(interval, column),
                                    .from = header->time_ns,
                                    .to = header->time_ns + header->duration_ns,
                                    .total = digest_total(interval, column),
                                    .bytes = r->bytes};
    show_mark(r, &mark);
    profile_free(interval);
    return 0;
}

/* One without a digest is read in full. */
static int survey_whole(struct reading *r, const struct entry *entry, int file)
{
    char why[FORMAT_ERROR_SIZE];
    unsigned char *data = NULL;
    const struct block_visitor visitor = {.closure = r, .take = mark_interval};
    int status = files_load(file, entry->size, entry->crc, &data);
    if (status == 0)
        status = block_read(data, entry->size, &visitor, why);
    free(data);
    return status == -EBADMSG ? 0 : status;
}

/* The digest of a file, of which mostly little needs to be read. */
static int load_digest(int file, struct digest *digest)
{
    static const size_t steps[] = {4096, DIGEST_MOST};
    int status = -EAGAIN;
    for (size_t i = 0; status == -EAGAIN && i < sizeof steps / sizeof *steps; i++) {
        unsigned char *data = malloc(steps[i]);
        if (data == NULL)
            return -ENOMEM;
        ssize_t got = pread(file, data, steps[i], 0);
        status = got < 0 ? -errno : digest_read(data, (size_t)got, digest);
        free(data);
    }
    return status;
}

static int survey_entry(struct reading *r, const struct entry *entry)
{
    char name[ENTRY_NAME_SIZE];
    struct digest digest = {0};
    int file = open_entry(r, entry, name);
    if (file < 0)
        return is_left_out(file) ? 0 : file;
    r->bytes = entry->size / (entry->count > 0 ? entry->count : 1);
    int status = load_digest(file, &digest);
    if (status == 0) {
        show_digest(r, &digest);
        digest_free(&digest);
    } else if (status == -ENODATA) {
        status = survey_whole(r, entry, file);
    } else if (status == -EBADMSG || status == -EAGAIN) {
        status = 0;
    }
    close(file);
    return status;
}

static int survey_all(struct reading *r)
{
    int status = 0;
    for (size_t i = 0; status == 0 && i < r->entries.count; i++)
        status = survey_entry(r, &r->entries.list[i]);
    return status;
}

int store_survey(const char *path, const struct store_range *range,
                 const struct store_survey *survey, char error[FORMAT_ERROR_SIZE])
{
    struct reading r = {.range = range,
                        .survey = survey,
                        .path = path,
                        .error = error,
                        .again = survey->again,
                        .closure = survey->closure};
    return read_folder(&r, survey_all);
}

int store_extent(const char *path, const char *service, uint64_t *from, uint64_t *to,
                 char error[FORMAT_ERROR_SIZE])
{
    struct reading r = {.path = path};
    const struct store_range all = {.service = service, .to = UINT64_MAX};
    *from = *to = 0;
    int status = open_folder(path, &r.folder, error);
    if (status != 0)
        return status;
    status = list(&r);
    for (size_t i = 0; status == 0 && i < r.entries.count; i++) {
        const struct entry *entry = &r.entries.list[i];
        if (!is_asked_for(&all, entry))
            continue;
        *from = *from == 0 || entry->from < *from ? entry->from : *from;
        *to = entry->to > *to ? entry->to : *to;
    }
    if (status != 0)
        snprintf(error, FORMAT_ERROR_SIZE, "%.200s: %s", path, strerror(-status));
    entries_free(&r.entries);
    close(r.folder);
    return status;
}
