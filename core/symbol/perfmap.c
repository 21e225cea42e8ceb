#include "symbol/perfmap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK (32 * 1024) /* longer lines are skipped */
#define FIRST_CAPACITY 256
#define MAX_NESTING 16 /* entries that begin below an address and do not reach it */

void perfmap_init(struct perfmap *map, struct budget *budget)
{
    *map = (struct perfmap){.budget = budget, .fd = -1};
}

static void forget_entries(struct perfmap *map)
{
    budget_give(map->budget, map->capacity * sizeof *map->entries);
    free(map->entries);
    map->entries = NULL;
    map->count = map->capacity = 0;
    map->read = 0;
}

void perfmap_free(struct perfmap *map)
{
    perfmap_rest(map);
    forget_entries(map);
}

void perfmap_rest(struct perfmap *map)
{
    if (map->fd >= 0)
        close(map->fd);
    map->fd = -1;
    map->missing = false;
}

static bool add(struct perfmap *map, const struct perfmap_entry *entry)
{
    if (map->count == map->capacity) {
        size_t capacity = map->capacity ? map->capacity * 2 : FIRST_CAPACITY;
        size_t more = (capacity - map->capacity) * sizeof *map->entries;
        if (capacity > PERFMAP_MAX || !budget_take(map->budget, more))
            return false;
        struct perfmap_entry *entries = realloc(map->entries, capacity * sizeof *map->entries);
        if (!entries) {
            budget_give(map->budget, more);
            return false;
        }
        map->entries = entries;
        map->capacity = capacity;
    }
    map->entries[map->count++] = *entry;
    return true;
}

/* One line, without its newline, at `offset` of the file. False when there is no room. */
static bool parse_line(struct perfmap *map, const char *line, uint64_t offset)
{
    char *end;
    uint64_t start = strtoull(line, &end, 16);
    if (end == line || *end != ' ')
        return true;
    uint64_t size = strtoull(end, &end, 16);
    if (*end != ' ' || !size || !end[1])
        return true;
    uint64_t name = offset + (uint64_t)(end + 1 - line);
    if (name > UINT32_MAX)
        return false;
    return add(map,
               &(struct perfmap_entry){.start = start,
                                       .size = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX,
                                       .name = (uint32_t)name});
}

static int by_start_then_age(const void *left, const void *right)
{
    const struct perfmap_entry *a = left, *b = right;
    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    return a->name < b->name ? -1 : a->name > b->name;
}

/* ---- jitdump ---- */

/* As Linux's tools/perf/Documentation/jitdump-specification.txt has them. */
struct jitdump_header {
    uint32_t magic, version, size, machine, padding, pid;
    uint64_t time, flags;
};

struct jitdump_record {
    uint32_t id, size;
    uint64_t time;
};

/* Behind the record's head; then come the name, ended by a zero, and the code. */
struct jitdump_load {
    uint32_t pid, tid;
    uint64_t unused, start, size, index;
};

enum { JITDUMP_MAGIC = 0x4A695444, JITDUMP_LOAD = 0 };

static bool read_whole(const struct perfmap *map, void *to, size_t size, uint64_t offset)
{
    return pread(map->fd, to, size, (off_t)offset) == (ssize_t)size;
}

/* One record, at map->read. False when it is not whole yet, makes no sense, or has no room. */
static bool read_record(struct perfmap *map, uint64_t file_size)
{
    struct jitdump_record record;
    struct jitdump_load load;
    uint64_t at = map->read, name = at + sizeof record + sizeof load;
    if (!read_whole(map, &record, sizeof record, at) || record.size < sizeof record ||
        record.size > file_size - at)
        return false;
    map->read += record.size;
    if (record.id != JITDUMP_LOAD || record.size <= sizeof record + sizeof load)
        return true;
    if (name > UINT32_MAX || !read_whole(map, &load, sizeof load, at + sizeof record))
        return false;
    const struct perfmap_entry entry = {.start = load.start,
                                        .size = load.size < UINT32_MAX ? (uint32_t)load.size
                                                                       : UINT32_MAX,
                                        .name = (uint32_t)name};
    return add(map, &entry);
}

/* False: the file is none of this machine's. Also one that was written with its bytes swapped
 * is not. */
static bool read_records(struct perfmap *map, uint64_t file_size)
{
    struct jitdump_header header;
    if (!read_whole(map, &header, sizeof header, 0) || header.magic != JITDUMP_MAGIC)
        return false;
    size_t before = map->count;
    if (map->read == 0)
        map->read = header.size;
    while (map->read < file_size && read_record(map, file_size))
        ;
    if (map->count > before)
        qsort(map->entries, map->count, sizeof *map->entries, by_start_then_age);
    return true;
}

/* ---- text ---- */

/* Parses the whole lines that were appended since the last time. */
static void read_lines(struct perfmap *map)
{
    char *block = malloc(BLOCK + 1);
    size_t before = map->count;
    bool room = block;
    while (room) {
        ssize_t got = pread(map->fd, block, BLOCK, (off_t)map->read);
        if (got <= 0)
            break;
        block[got] = '\0';
        char *line = block, *newline;
        while (room && (newline = memchr(line, '\n', (size_t)(block + got - line)))) {
            *newline = '\0';
            room = parse_line(map, line, map->read + (uint64_t)(line - block));
            line = newline + 1;
        }
        if (line == block && got < BLOCK)
            break; /* the last line is not whole yet */
        map->read += line == block ? (uint64_t)got : (uint64_t)(line - block);
    }
    free(block);
    if (map->count > before)
        qsort(map->entries, map->count, sizeof *map->entries, by_start_then_age);
}

static int open_map(struct perfmap *map, const char *path)
{
    struct stat status;
    if (map->fd >= 0)
        return 0;
    if (map->missing)
        return -ENOENT;
    map->missing = true;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0)
        return -ENOENT;
    if (fstat(fd, &status) || !S_ISREG(status.st_mode) || status.st_uid != geteuid()) {
        close(fd);
        return -ENOENT;
    }
    map->fd = fd;
    if ((uint64_t)status.st_size < map->read)
        forget_entries(map); /* written anew */
    uint64_t size = (uint64_t)status.st_size;
    if (size > map->read && !read_records(map, size))
        read_lines(map);
    return 0;
}

static int read_name(const struct perfmap *map, uint32_t offset, char *name, size_t capacity)
{
    ssize_t got = pread(map->fd, name, capacity - 1, offset);
    if (got <= 0)
        return -ENOENT;
    name[got] = '\0';
    name[strcspn(name, "\r\n")] = '\0';
    return name[0] ? 0 : -ENOENT;
}

int perfmap_find(struct perfmap *map, const char *path, uintptr_t address, char *name,
                 size_t capacity)
{
    if (open_map(map, path))
        return -ENOENT;
    size_t low = 0, high = map->count; /* entries below low start at or below address */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (map->entries[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    const struct perfmap_entry *latest = NULL;
    for (size_t i = low, depth = 0; i-- > 0 && depth < MAX_NESTING; depth++) {
        const struct perfmap_entry *entry = &map->entries[i];
        if (address - entry->start < entry->size && (!latest || entry->name > latest->name))
            latest = entry;
    }
    return latest ? read_name(map, latest->name, name, capacity) : -ENOENT;
}
