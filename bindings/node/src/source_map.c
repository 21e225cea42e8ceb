#include "source_map.h"

#include <stdlib.h>
#include <string.h>

enum {
    SECTIONS_MAX = 4096,
    STRINGS_MAX = 1 << 20,
    NESTING_MAX = 64,
    POOL_MAX = 128 << 20, /* bytes of all strings; each source has the root before it */
    SEGMENTS_PER_MARK = 128,
};

/* Strings of a map, one behind the other, each with a zero. */
struct pool {
    char *text;
    size_t size, capacity;
};

/* The decoder between two segments. */
struct mark {
    size_t at;             /* in the mappings */
    uint32_t line, column; /* generated, from 0 */
    int32_t source, source_line, source_column, name;
};

struct section {
    uint32_t line, column; /* where it begins in the generated text, from 0 */
    uint32_t *sources;     /* offsets into the pool */
    uint32_t *names;
    size_t source_count, name_count;
    size_t mappings, mappings_size; /* in the pool */
    struct mark *marks;
    size_t mark_count;
};

struct source_map {
    struct pool pool;
    struct section *sections; /* in the order of their beginnings */
    size_t section_count;
};

/* ---- JSON, as much as maps need ---- */

struct json {
    const char *at, *end;
    int nesting;
};

static void json_space(struct json *json)
{
    while (json->at < json->end &&
           (*json->at == ' ' || *json->at == '\t' || *json->at == '\n' || *json->at == '\r'))
        json->at++;
}

/* Takes that character, if it is next. */
static bool json_take(struct json *json, char c)
{
    json_space(json);
    if (json->at == json->end || *json->at != c)
        return false;
    json->at++;
    return true;
}

/* The raw inside of a string. */
static bool json_raw(struct json *json, const char **start, size_t *size)
{
    if (!json_take(json, '"'))
        return false;
    *start = json->at;
    for (; json->at < json->end && *json->at != '"'; json->at++)
        if (*json->at == '\\' && json->at + 1 < json->end)
            json->at++;
    *size = (size_t)(json->at - *start);
    return json_take(json, '"');
}

static bool json_skip(struct json *json);

/* What stands between brackets, of which the first has been taken. */
static bool json_skip_all(struct json *json, char close)
{
    const char *key;
    size_t size;
    if (json_take(json, close))
        return true;
    if (++json->nesting > NESTING_MAX)
        return false;
    do {
        if (close == '}' && (!json_raw(json, &key, &size) || !json_take(json, ':')))
            return false;
        if (!json_skip(json))
            return false;
    } while (json_take(json, ','));
    json->nesting--;
    return json_take(json, close);
}

static bool json_skip(struct json *json)
{
    const char *text;
    size_t size;
    json_space(json);
    if (json->at == json->end)
        return false;
    if (*json->at == '"')
        return json_raw(json, &text, &size);
    if (json_take(json, '{'))
        return json_skip_all(json, '}');
    if (json_take(json, '['))
        return json_skip_all(json, ']');
    const char *start = json->at;
    while (json->at < json->end && strchr(",]} \t\r\n", *json->at) == NULL)
        json->at++;
    return json->at > start;
}

static bool json_number(struct json *json, uint32_t *value)
{
    json_space(json);
    const char *start = json->at;
    *value = 0;
    for (; json->at < json->end && *json->at >= '0' && *json->at <= '9'; json->at++)
        *value = *value > UINT32_MAX / 16 ? UINT32_MAX / 16
                                          : *value * 10 + (uint32_t)(*json->at - '0');
    return json->at > start;
}

/* ---- strings ---- */

static bool pool_room(struct pool *pool, size_t more)
{
    if (pool->size + more <= pool->capacity)
        return true;
    if (pool->size + more > POOL_MAX)
        return false;
    size_t capacity = 2 * pool->capacity + more;
    capacity = capacity < POOL_MAX ? capacity : POOL_MAX;
    char *text = realloc(pool->text, capacity);
    if (text == NULL)
        return false;
    pool->text = text;
    pool->capacity = capacity;
    return true;
}

static void put_point(struct pool *pool, uint32_t point)
{
    if (point < 0x80) {
        pool->text[pool->size++] = (char)point;
        return;
    }
    int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    static const uint8_t first[] = {0, 0xc0, 0xe0, 0xf0};
    pool->text[pool->size++] = (char)(first[more] | point >> (6 * more));
    while (more-- > 0)
        pool->text[pool->size++] = (char)(0x80 | (point >> (6 * more) & 0x3f));
}

static uint32_t hex_unit(const char *at, const char *end)
{
    uint32_t value = 0;
    if (end - at < 4)
        return 0xfffd;
    for (int i = 0; i < 4; i++) {
        const char *digits = "0123456789abcdef";
        const char *found = strchr(digits, at[i] | 0x20);
        if (at[i] == '\0' || found == NULL || *found == '\0')
            return 0xfffd;
        value = value << 4 | (uint32_t)(found - digits);
    }
    return value;
}

/* Behind "\u". Returns where it ends. */
static const char *put_escaped_unit(struct pool *pool, const char *at, const char *end)
{
    uint32_t point = hex_unit(at, end);
    at += end - at < 4 ? end - at : 4;
    if (point >= 0xd800 && point < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
        uint32_t low = hex_unit(at + 2, end);
        if (low >= 0xdc00 && low < 0xe000) {
            point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
            at += 6;
        }
    }
    bool odd = (point >= 0xd800 && point < 0xe000) || point == 0;
    put_point(pool, odd ? 0xfffd : point);
    return at;
}

/* Adds a raw JSON string; its offset in the pool, or UINT32_MAX. */
static uint32_t pool_add(struct pool *pool, const char *root, const char *raw, size_t size)
{
    static const char escapes[] = "b\bf\fn\nr\rt\t";
    const char *end = raw + size;
    size_t root_size = strlen(root);
    uint32_t offset = (uint32_t)pool->size;
    if (!pool_room(pool, root_size + size + 2)) /* no escape grows but a lone \u at the end */
        return UINT32_MAX;
    memcpy(pool->text + pool->size, root, root_size);
    pool->size += root_size;
    while (raw < end) {
        if (*raw != '\\' || raw + 1 == end) {
            pool->text[pool->size++] = *raw++;
            continue;
        }
        const char *escape = raw[1] != '\0' ? strchr(escapes, raw[1]) : NULL;
        raw += 2;
        if (raw[-1] == 'u')
            raw = put_escaped_unit(pool, raw, end);
        else
            pool->text[pool->size++] = escape != NULL ? escape[1] : raw[-1];
    }
    pool->text[pool->size++] = '\0';
    return offset;
}

/* ---- mappings ---- */

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

struct decoder {
    const char *text;
    size_t size;
    struct mark now;
    int fields; /* of the segment that `now` stands behind: 1, 4 or 5 */
};

static bool decode_number(struct decoder *d, int32_t *sum)
{
    uint64_t value = 0;
    for (unsigned shift = 0; d->now.at < d->size && shift < 35; shift += 5) {
        int bits = digit(d->text[d->now.at]);
        if (bits < 0)
            return false;
        d->now.at++;
        value |= (uint64_t)(bits & 31) << shift;
        if ((bits & 32) == 0) {
            int64_t moved = (int64_t)*sum +
                            ((value & 1) != 0 ? -(int64_t)(value >> 1) : (int64_t)(value >> 1));
            *sum = moved > INT32_MAX || moved < 0 ? 0 : (int32_t)moved;
            return true;
        }
    }
    return false;
}

/* To the next segment. False: the end, or what is none. */
static bool decode_segment(struct decoder *d)
{
    for (; d->now.at < d->size && (d->text[d->now.at] == ',' || d->text[d->now.at] == ';');
         d->now.at++) {
        if (d->text[d->now.at] == ';') {
            d->now.line++;
            d->now.column = 0;
        }
    }
    int32_t column = (int32_t)d->now.column;
    if (!decode_number(d, &column))
        return false;
    d->now.column = (uint32_t)column;
    d->fields = 1;
    if (digit(d->now.at < d->size ? d->text[d->now.at] : '\0') < 0)
        return true;
    if (!decode_number(d, &d->now.source) || !decode_number(d, &d->now.source_line) ||
        !decode_number(d, &d->now.source_column))
        return false;
    d->fields = 4;
    if (digit(d->now.at < d->size ? d->text[d->now.at] : '\0') < 0)
        return true;
    d->fields = 5;
    return decode_number(d, &d->now.name);
}

static void set_marks(const struct source_map *map, struct section *section)
{
    struct decoder d = {.text = map->pool.text + section->mappings,
                        .size = section->mappings_size};
    size_t capacity = 0;
    for (size_t i = 0;; i++) {
        if (i % SEGMENTS_PER_MARK == 0) {
            if (section->mark_count == capacity) {
                capacity = 2 * capacity + 16;
                struct mark *grown = realloc(section->marks, capacity * sizeof *grown);
                if (grown == NULL)
                    return;
                section->marks = grown;
            }
            section->marks[section->mark_count++] = d.now;
        }
        if (!decode_segment(&d))
            return;
    }
}

/* ---- reading ---- */

static uint32_t *read_strings(struct source_map *map, struct json *json, const char *root,
                              size_t *count)
{
    uint32_t *list = NULL;
    size_t capacity = 0;
    *count = 0;
    if (!json_take(json, '[') || json_take(json, ']'))
        return NULL;
    do {
        const char *raw = "";
        size_t size = 0;
        json_space(json);
        bool text = json->at < json->end && *json->at == '"';
        if (text ? !json_raw(json, &raw, &size) : !json_skip(json))
            break;
        if (*count == capacity) {
            capacity = 2 * capacity + 16;
            uint32_t *grown =
                capacity <= STRINGS_MAX ? realloc(list, capacity * sizeof *list) : NULL;
            if (grown == NULL)
                break;
            list = grown;
        }
        list[*count] = pool_add(&map->pool, text ? root : "", raw, size);
        if (list[*count] == UINT32_MAX)
            break;
        ++*count;
    } while (json_take(json, ','));
    (void)json_take(json, ']');
    return list;
}

static bool read_map(struct source_map *map, struct json *json, uint32_t line, uint32_t column);

/* {"offset": {"line": …, "column": …}, "map": {…}}; the offset stands first. */
static bool read_one_section(struct source_map *map, struct json *json)
{
    uint32_t at[2] = {0, 0};
    if (!json_take(json, '{'))
        return false;
    do {
        const char *key;
        size_t size;
        if (!json_raw(json, &key, &size) || !json_take(json, ':'))
            return false;
        bool is_map = size == 3 && memcmp(key, "map", 3) == 0;
        bool is_offset = size == 6 && memcmp(key, "offset", 6) == 0;
        if (is_offset && json_take(json, '{')) {
            do {
                if (!json_raw(json, &key, &size) || !json_take(json, ':') ||
                    !json_number(json, &at[size == 6]))
                    return false;
            } while (json_take(json, ','));
            if (!json_take(json, '}'))
                return false;
        } else if (is_map ? !read_map(map, json, at[0], at[1]) : !json_skip(json)) {
            return false;
        }
    } while (json_take(json, ','));
    return json_take(json, '}');
}

static bool read_sections(struct source_map *map, struct json *json)
{
    if (!json_take(json, '['))
        return false;
    if (json_take(json, ']'))
        return true;
    do {
        if (!read_one_section(map, json))
            return false;
    } while (json_take(json, ','));
    return json_take(json, ']');
}

static struct section *add_section(struct source_map *map, uint32_t line, uint32_t column)
{
    if (map->section_count == SECTIONS_MAX)
        return NULL;
    struct section *grown =
        realloc(map->sections, (map->section_count + 1) * sizeof *map->sections);
    if (grown == NULL)
        return NULL;
    map->sections = grown;
    grown[map->section_count] = (struct section){.line = line, .column = column};
    return &grown[map->section_count++];
}

/* The fields of a map, where they begin; sourceRoot may stand behind what it goes before. */
enum field { SOURCES, NAMES, MAPPINGS, ROOT, SECTIONS, FIELDS };

static bool find_fields(struct json *json, struct json fields[FIELDS])
{
    static const char *const known[FIELDS] = {"sources", "names", "mappings", "sourceRoot",
                                              "sections"};
    if (!json_take(json, '{'))
        return false;
    if (json_take(json, '}'))
        return true;
    do {
        const char *key;
        size_t size;
        if (!json_raw(json, &key, &size) || !json_take(json, ':'))
            return false;
        struct json value = *json;
        if (!json_skip(json))
            return false;
        value.end = json->at;
        for (int i = 0; i < FIELDS; i++)
            if (strlen(known[i]) == size && memcmp(known[i], key, size) == 0)
                fields[i] = value;
    } while (json_take(json, ','));
    return json_take(json, '}');
}

/* "src" and "src/" are both written for the folder. */
static char *read_root(struct json *json)
{
    struct pool pool = {0};
    const char *raw;
    size_t size;
    if (json->at == NULL || !json_raw(json, &raw, &size) || size == 0 ||
        pool_add(&pool, "", raw, size) != 0)
        return calloc(1, 1);
    size_t length = strlen(pool.text);
    if (length > 0 && pool.text[length - 1] != '/' && pool_room(&pool, 1))
        memcpy(pool.text + length, "/", 2);
    return pool.text;
}

static bool read_plain(struct source_map *map, struct json fields[FIELDS], uint32_t line,
                       uint32_t column)
{
    const char *raw;
    size_t size;
    struct section *section = add_section(map, line, column);
    char *root = read_root(&fields[ROOT]);
    if (section != NULL && root != NULL && json_raw(&fields[MAPPINGS], &raw, &size)) {
        section->sources = read_strings(map, &fields[SOURCES], root, &section->source_count);
        if (fields[NAMES].at != NULL)
            section->names = read_strings(map, &fields[NAMES], "", &section->name_count);
        section->mappings = pool_add(&map->pool, "", raw, size);
        if (section->mappings != UINT32_MAX) {
            section->mappings_size = strlen(map->pool.text + section->mappings);
            set_marks(map, section);
        }
    }
    free(root);
    return section != NULL;
}

static bool read_map(struct source_map *map, struct json *json, uint32_t line, uint32_t column)
{
    struct json fields[FIELDS] = {{0}};
    if (!find_fields(json, fields))
        return false;
    if (fields[SECTIONS].at != NULL && line == 0 && column == 0 && map->section_count == 0)
        return read_sections(map, &fields[SECTIONS]);
    if (fields[MAPPINGS].at == NULL || fields[SOURCES].at == NULL)
        return false;
    return read_plain(map, fields, line, column);
}

struct source_map *source_map_read(const char *text, size_t size)
{
    struct json json = {.at = text, .end = text + size};
    struct source_map *map = calloc(1, sizeof *map);
    if (map == NULL)
        return NULL;
    if (size >= 4 && memcmp(text, ")]}'", 4) == 0) /* against being run as a script */
        while (json.at < json.end && *json.at != '\n')
            json.at++;
    if (!read_map(map, &json, 0, 0) && map->section_count == 0) {
        source_map_free(map);
        return NULL;
    }
    return map;
}

struct source_map *source_map_read_inline(const char *url, size_t size)
{
    static const char mark[] = ";base64,";
    const char *at = memmem(url, size, mark, sizeof mark - 1);
    if (at == NULL)
        return NULL;
    at += sizeof mark - 1;
    char *text = malloc(size + 1);
    size_t count = 0;
    uint32_t bits = 0;
    int held = 0;
    for (; text != NULL && at < url + size && digit(*at) >= 0; at++) {
        bits = bits << 6 | (uint32_t)digit(*at);
        held += 6;
        if (held >= 8) {
            held -= 8;
            text[count++] = (char)(bits >> held);
        }
    }
    struct source_map *map = text != NULL ? source_map_read(text, count) : NULL;
    free(text);
    return map;
}

void source_map_free(struct source_map *map)
{
    if (map == NULL)
        return;
    for (size_t i = 0; i < map->section_count; i++) {
        free(map->sections[i].sources);
        free(map->sections[i].names);
        free(map->sections[i].marks);
    }
    free(map->sections);
    free(map->pool.text);
    free(map);
}

size_t source_map_size(const struct source_map *map)
{
    size_t size = map->pool.capacity;
    for (size_t i = 0; i < map->section_count; i++)
        size +=
            map->sections[i].mark_count * sizeof(struct mark) +
            (map->sections[i].source_count + map->sections[i].name_count) * sizeof(uint32_t);
    return size;
}

/* ---- finding ---- */

static bool before(uint32_t line, uint32_t column, uint32_t other_line, uint32_t other_column)
{
    return line != other_line ? line < other_line : column < other_column;
}

static const struct section *section_at(const struct source_map *map, uint32_t line,
                                        uint32_t column)
{
    const struct section *found = NULL;
    for (size_t i = 0; i < map->section_count; i++)
        if (!before(line, column, map->sections[i].line, map->sections[i].column))
            found = &map->sections[i];
    return found;
}

/* The last segment that begins at or before the place, on its line. */
static bool find_segment(const struct source_map *map, const struct section *section,
                         uint32_t line, uint32_t column, struct decoder *found)
{
    struct decoder d = {.text = map->pool.text + section->mappings,
                        .size = section->mappings_size};
    size_t low = 0, high = section->mark_count;
    bool any = false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (before(section->marks[middle].line, section->marks[middle].column, line, column))
            low = middle + 1;
        else
            high = middle;
    }
    if (low > 1) /* the segment that the last mark before it stands behind may be the one */
        d.now = section->marks[low - 2];
    while (decode_segment(&d) && !before(line, column, d.now.line, d.now.column)) {
        any = d.now.line == line;
        *found = d;
    }
    return any;
}

bool source_map_find(const struct source_map *map, uint32_t line, uint32_t column, bool exact,
                     struct source_place *place)
{
    struct decoder at = {0};
    if (line == 0 || column == 0)
        return false;
    line--;
    column--;
    const struct section *section = section_at(map, line, column);
    if (section == NULL || section->mark_count == 0)
        return false;
    line -= section->line;
    column -= line == 0 ? section->column : 0;
    if (!find_segment(map, section, line, column, &at) || at.fields < 4 ||
        (exact && at.now.column != column) || (size_t)at.now.source >= section->source_count)
        return false;
    *place = (struct source_place){
        .file = map->pool.text + section->sources[at.now.source],
        .line = (uint32_t)at.now.source_line + 1,
        .column = (uint32_t)at.now.source_column + 1,
    };
    if (at.fields == 5 && (size_t)at.now.name < section->name_count)
        place->name = map->pool.text + section->names[at.now.name];
    return true;
}
