#include "store/lot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/random.h"
#include "format/block.h"
#include "profile/combine.h"
#include "store/files.h"

#define OPEN 32 /* intervals that others may still be merged into */

/* ---- finding ---- */

static uint64_t age_of(const struct entry *entry, uint64_t now)
{
    return now > entry->to ? now - entry->to : 0;
}

/* The resolution that a file's age asks for; 0: none, it is too old. */
static uint64_t wanted(const struct lot_rules *rules, const struct entry *entry)
{
    size_t which = ages_find(rules->ages, age_of(entry, rules->now));
    return which < rules->ages->count ? rules->ages->list[which].resolution : 0;
}

/* What a block of that resolution is to cover. */
static uint64_t span_of(const struct lot_rules *rules, uint64_t resolution)
{
    uint64_t finest = rules->ages->list[0].resolution;
    return LOT_INTERVALS * (resolution > finest ? resolution : finest);
}

/* Since when files of that resolution are all there: those of before `end`. */
static uint64_t complete_at(const struct lot_rules *rules, uint64_t end, uint64_t resolution)
{
    size_t which = 0;
    while (which + 1 < rules->ages->count && rules->ages->list[which].resolution < resolution)
        which++;
    /* What becomes coarser does so a span at a time, and late ones are waited for. */
    uint64_t late = which > 0 ? span_of(rules, rules->ages->list[which - 1].resolution)
                              : 2 * rules->ages->list[0].resolution;
    if (which > 0 && late < rules->ages->list[which].resolution)
        late = rules->ages->list[which].resolution;
    return end + ages_begin(rules->ages, which) + late;
}

static bool is_wanted(const struct lot_rules *rules, const struct entry *entry,
                      uint64_t coarser)
{
    return wanted(rules, entry) == coarser && entry->resolution * NS_PER_SECOND < coarser;
}

/* How many files from `first` on are its service's, begin before `end`, and are one lot by
 * size: of its resolution, or, where that is not 0, wanted at a coarser one. */
static size_t extent(const struct entries *entries, const struct lot_rules *rules, size_t first,
                     uint64_t end, uint64_t coarser)
{
    const struct entry *list = entries->list;
    size_t bytes = list[first].size, i = first + 1;
    for (; i < entries->count && list[i].key == list[first].key && list[i].from < end; i++) {
        bool fits = coarser == 0 ? list[i].resolution == list[first].resolution
                                 : is_wanted(rules, &list[i], coarser);
        bytes += list[i].size;
        if (!fits || bytes > rules->largest)
            break;
    }
    return i - first;
}

/* The files from `first` on that have come of age. */
static bool find_aged(const struct entries *entries, const struct lot_rules *rules,
                      size_t first, struct lot *lot)
{
    const struct entry *entry = &entries->list[first];
    uint64_t own = entry->resolution * NS_PER_SECOND, coarser = wanted(rules, entry);
    if (coarser <= own)
        return false;
    uint64_t unit = span_of(rules, own) > coarser ? span_of(rules, own) : coarser;
    uint64_t end = (entry->from / unit + 1) * unit;
    size_t which = ages_find(rules->ages, age_of(entry, rules->now));
    uint64_t slack = which == 0 ? 2 * coarser : 0;
    if (end + ages_begin(rules->ages, which) + slack > rules->now)
        return false;
    *lot = (struct lot){.first = first,
                        .count = extent(entries, rules, first, end, coarser),
                        .resolution = (uint32_t)(coarser / NS_PER_SECOND),
                        .merge = true,
                        .quick = which == 0 && rules->ages->count > 1};
    return true;
}

/* The files from `first` on that lie scattered. */
static bool find_scattered(const struct entries *entries, const struct lot_rules *rules,
                           size_t first, struct lot *lot)
{
    const struct entry *entry = &entries->list[first];
    uint64_t own = entry->resolution * NS_PER_SECOND, span = span_of(rules, own);
    uint64_t end = (entry->from / span + 1) * span;
    if (own == 0 || complete_at(rules, end, own) > rules->now)
        return false;
    *lot = (struct lot){.first = first,
                        .count = extent(entries, rules, first, end, 0),
                        .resolution = entry->resolution};
    return lot->count > 1;
}

bool lot_find(const struct entries *entries, const struct lot_rules *rules, struct lot *lot)
{
    for (size_t i = 0; i < entries->count; i++)
        if (find_aged(entries, rules, i, lot) || find_scattered(entries, rules, i, lot))
            return true;
    return false;
}

/* ---- rewriting ---- */

struct rewriting {
    struct block_writer *writer;
    uint64_t merged;            /* the length that intervals are merged to, in ns; 0: none */
    struct profile *open[OPEN]; /* the oldest first */
    size_t count;
    const struct profile *last; /* that samples went to */
    uint64_t versions;          /* how often it was another */
    int status;
};

static uint64_t stretch_of(const struct rewriting *r, const struct profile *p)
{
    return profile_header_const(p)->time_ns / r->merged;
}

static void add(struct rewriting *r, const struct profile *interval)
{
    if (r->status == 0)
        r->status = block_writer_add(r->writer, interval);
    if (r->status == -ENOSPC)
        r->status = -E2BIG; /* the writer's room, not the disk's */
}

static void close_oldest(struct rewriting *r)
{
    add(r, r->open[0]);
    profile_free(r->open[0]);
    r->count--;
    memmove(&r->open[0], &r->open[1], r->count * sizeof *r->open);
}

/* One that is open and takes what `head` is of: of the same process and stretch of time, and
 * earlier, as the files are in the order of time, and so are a process's intervals in one. With
 * what stands once in it. NULL: there is none. */
static struct profile *find_open(struct rewriting *r, const struct profile *head,
                                 struct profile_place places[PROFILE_MAX_VALUES])
{
    for (size_t i = 0; i < r->count; i++) {
        if (stretch_of(r, r->open[i]) != stretch_of(r, head))
            continue;
        profile_guard_resource(r->open[i]);
        int status = profile_merge_head(r->open[i], head, places);
        if (status != 0 && status != -EOVERFLOW)
            continue; /* nothing of it was added */
        struct profile_header *header = profile_header(r->open[i]);
        memset(header->profile_id, 0, sizeof header->profile_id); /* it is neither of them */
        return r->open[i];
    }
    return NULL;
}

/* The same of a profile with levels, of which the later hold. */
static bool merge_into_open(struct rewriting *r, struct profile *interval)
{
    for (size_t i = 0; i < r->count; i++) {
        if (stretch_of(r, r->open[i]) != stretch_of(r, interval))
            continue;
        profile_guard_resource(r->open[i]);
        int status = profile_merge_later(r->open[i], interval);
        if (status != 0 && status != -EOVERFLOW)
            continue;
        struct profile_header *header = profile_header(r->open[i]);
        memset(header->profile_id, 0, sizeof header->profile_id);
        return true;
    }
    return false;
}

static bool is_whole(const struct rewriting *r, const struct profile *p)
{
    return r->merged == 0 || profile_header_const(p)->duration_ns > r->merged / 2;
}

static void open_one(struct rewriting *r, struct profile *p)
{
    if (r->count == OPEN)
        close_oldest(r);
    r->open[r->count++] = p;
}

static int take(void *closure, struct profile *interval)
{
    struct rewriting *r = closure;
    if (is_whole(r, interval)) {
        add(r, interval);
        profile_free(interval);
    } else if (merge_into_open(r, interval)) {
        profile_free(interval);
    } else {
        open_one(r, interval);
    }
    return r->status;
}

/* A new profile, which all that stands once in `head` is given. */
static struct profile *begin_profile(struct rewriting *r, const struct profile *head,
                                     struct profile_place places[PROFILE_MAX_VALUES])
{
    struct profile *p = profile_new(NULL);
    r->status = p != NULL ? profile_merge_head(p, head, places) : -ENOMEM;
    if (r->status == -EOVERFLOW)
        r->status = 0;
    if (r->status == 0)
        return p;
    profile_free(p);
    return NULL;
}

/* Where the samples of what is merged go. */
static struct profile *settle(struct rewriting *r, const struct profile *head,
                              struct profile_place places[PROFILE_MAX_VALUES])
{
    struct profile *to = find_open(r, head, places);
    const bool new = to == NULL;
    if (new)
        to = begin_profile(r, head, places);
    if (new &&to != NULL)
        open_one(r, to);
    r->versions += new || to != r->last; /* a new one may lie where another did */
    return to;
}

/* Straight from the block into the profile that it becomes part of, or into the writer. */
static int into(void *closure, const struct profile *head, struct block_target *target)
{
    struct rewriting *r = closure;
    if (profile_has_levels(head))
        return BLOCK_WHOLE;
    target->writer = is_whole(r, head) ? r->writer : NULL;
    if (target->writer != NULL) {
        r->versions += block_writer_shared(r->writer) != r->last;
        r->status = r->status == 0 ? block_writer_begin(r->writer, head) : r->status;
        target->sum = block_writer_shared(r->writer);
    } else {
        target->sum = settle(r, head, target->places);
    }
    r->last = target->sum;
    target->version = r->versions;
    return r->status;
}

static int read_file(int folder, const struct entry *entry, struct rewriting *r)
{
    char name[ENTRY_NAME_SIZE], error[FORMAT_ERROR_SIZE];
    unsigned char *data = NULL;
    entry_write_name(name, entry);
    int file = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0)
        return -errno;
    int status = files_load(file, entry->size, entry->crc, &data);
    close(file);
    const struct block_visitor visitor = {.closure = r, .take = take, .into = into};
    if (status == 0)
        status = block_read(data, entry->size, &visitor, error);
    free(data);
    return status == -ENOSPC ? -E2BIG : status; /* the writer's room, not the disk's */
}

static int read_lot(int folder, const struct entries *entries, const struct lot *lot,
                    struct rewriting *r, size_t *damaged)
{
    int status = 0;
    for (size_t i = lot->first; status == 0 && i < lot->first + lot->count; i++) {
        *damaged = i;
        status = read_file(folder, &entries->list[i], r);
    }
    while (r->count > 0)
        close_oldest(r);
    return status != 0 ? status : r->status;
}

static int write_half(int folder, const struct buffer *bytes, uint64_t unique)
{
    char half[ENTRY_NAME_SIZE];
    entry_write_half_name(half, unique);
    int file = files_write(folder, half, bytes);
    if (file < 0)
        return file;
    int status = fdatasync(file) == 0 ? 0 : -errno; /* what it replaces may be on the disk */
    close(file);
    if (status != 0)
        unlinkat(folder, half, 0);
    return status;
}

static struct entry entry_of(const struct entries *entries, const struct lot *lot,
                             const struct block_writer *writer, const struct buffer *bytes)
{
    uint64_t random[2];
    random_words(random);
    struct entry made = entries->list[lot->first];
    for (size_t i = lot->first; i < lot->first + lot->count; i++)
        made.to = entries->list[i].to > made.to ? entries->list[i].to : made.to;
    made.resolution = lot->resolution;
    made.unique = random[0] | 1;
    made.count = (uint32_t)block_writer_count(writer);
    made.size = (uint32_t)bytes->size;
    made.crc = files_checksum(bytes->data, bytes->size);
    return made;
}

int lot_rewrite(int folder, const struct entries *entries, const struct lot *lot,
                struct budget *budget, size_t memory, struct entry *made, size_t *damaged)
{
    struct buffer bytes = {0};
    struct rewriting r = {.writer = block_writer_new(budget, memory),
                          .merged = lot->merge ? lot->resolution * NS_PER_SECOND : 0};
    int status = r.writer != NULL ? read_lot(folder, entries, lot, &r, damaged) : -ENOMEM;
    if (lot->quick && r.writer != NULL)
        block_writer_hasten(r.writer);
    if (status == 0)
        status = block_writer_end(r.writer, &bytes);
    if (status == 0 && bytes.size > UINT32_MAX)
        status = -EFBIG;
    if (status == 0) {
        *made = entry_of(entries, lot, r.writer, &bytes);
        status = write_half(folder, &bytes, made->unique);
    }
    block_writer_free(r.writer);
    buffer_free(&bytes);
    return status;
}
