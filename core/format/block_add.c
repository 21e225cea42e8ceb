#include "format/block_add.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/refuse.h"

#define STACKS_AT_ONCE 32 /* that are looked up: at most PROFILE_BATCH */
#define ROWS_AHEAD 512    /* in which they are looked for */
#define DEEP 4096         /* frames: where there are such, one after the other */

/* ---- rows of tables ---- */

static profile_id add_string(struct block_adder *a, uint64_t id)
{
    if (id != 0 && a->strings[id] == 0)
        a->strings[id] = profile_string_n(a->sum, a->tables->texts[id],
                                          (size_t)block_row(&a->tables->strings, id)[0]);
    return a->strings[id];
}

static profile_id add_mapping(struct block_adder *a, uint64_t id)
{
    if (id == 0 || a->mappings[id] != 0)
        return a->mappings[id];
    const uint64_t *row = block_row(&a->tables->mappings, id);
    const struct profile_mapping mapping = {
        .start = row[0],
        .limit = row[1],
        .file_offset = row[2],
        .filename = add_string(a, row[3]),
        .build_id = add_string(a, row[4]),
        .htlhash = add_string(a, row[5]),
        .symbols = (uint32_t)(row[6] & (PROFILE_SYMBOLS_TOLD | PROFILE_HAS_ALL)),
    };
    return a->mappings[id] = profile_mapping(a->sum, &mapping);
}

static profile_id add_function(struct block_adder *a, uint64_t id)
{
    if (id == 0 || a->functions[id] != 0)
        return a->functions[id];
    const uint64_t *row = block_row(&a->tables->functions, id);
    const struct profile_function function = {.name = add_string(a, row[0]),
                                              .system_name = add_string(a, row[1]),
                                              .filename = add_string(a, row[2]),
                                              .start_line = (int64_t)row[3]};
    return a->functions[id] = profile_function(a->sum, &function);
}

static profile_id add_location(struct block_adder *a, uint64_t id)
{
    if (a->locations[id] != 0)
        return a->locations[id];
    const uint64_t *row = block_row(&a->tables->locations, id);
    for (uint64_t i = 0; i < row[5]; i++) {
        const uint64_t *line = columns_row(&a->tables->lines, a->tables->first_lines[id] + i);
        a->inlined[i] = (struct profile_line){.function = add_function(a, line[0]),
                                              .line = (int64_t)line[1],
                                              .column = (int64_t)line[2]};
    }
    const struct profile_location location = {.mapping = add_mapping(a, row[0]),
                                              .address = row[1],
                                              .type = (enum cprof_frame_type)row[2],
                                              .other_type = add_string(a, row[3]),
                                              .folded = row[4] != 0,
                                              .line_count = (uint32_t)row[5],
                                              .lines = a->inlined};
    return a->locations[id] = profile_location(a->sum, &location);
}

/* The frames of a stack, leaf first; their number. */
static size_t add_frames(struct block_adder *a, uint64_t id, profile_id *frames)
{
    const uint64_t *const nodes = a->tables->nodes.cells;
    size_t depth = 0;
    uint64_t node = block_row(&a->tables->stacks, id)[0];
    while (node != 0) {
        const uint64_t *row = nodes + (node - 1) * BLOCK_NODE_WIDTH;
        const profile_id known = a->locations[row[1]];
        frames[depth++] = known != 0 ? known : add_location(a, row[1]);
        node = row[0];
    }
    return depth;
}

static __attribute__((noinline)) profile_id add_stack(struct block_adder *a, uint64_t id)
{
    const size_t depth = add_frames(a, id, a->frames);
    return a->stacks[id] = profile_stack(a->sum, a->frames, depth);
}

/* The stacks that the rows from `row` on are the first to have, as many as go at once. */
static __attribute__((noinline)) void add_stacks(struct block_adder *a,
                                                 const struct columns *samples, size_t row)
{
    struct profile_stack stacks[STACKS_AT_ONCE] = {{0}}; /* for compilers that doubt `count` */
    uint64_t numbers[STACKS_AT_ONCE], last = 0;
    profile_id ids[STACKS_AT_ONCE], *frames = a->frames;
    size_t count = 0, end = samples->rows - row < ROWS_AHEAD ? samples->rows : row + ROWS_AHEAD;
    for (; row < end && count < STACKS_AT_ONCE; row++) {
        const uint64_t id = columns_row(samples, row)[0];
        if (id == last || id == 0 || a->stacks[id] != 0)
            continue;
        const size_t depth = add_frames(a, id, frames);
        stacks[count] = (struct profile_stack){.depth = (uint32_t)depth, .locations = frames};
        frames += depth;
        numbers[count++] = last = id;
    }
    profile_stacks(a->sum, stacks, count, ids);
    for (size_t i = 0; i < count; i++)
        a->stacks[numbers[i]] = ids[i];
}

static inline profile_id stack_of(struct block_adder *a, uint64_t id)
{
    return id == 0 || a->stacks[id] != 0 ? a->stacks[id] : add_stack(a, id);
}

static profile_id link_of(struct block_adder *a, uint64_t id)
{
    struct profile_link link;
    if (id == 0 || a->links[id] != 0)
        return a->links[id];
    memcpy(&link, a->tables->link_bytes + (id - 1) * sizeof(link), sizeof(link));
    return a->links[id] = profile_link(a->sum, &link);
}

static struct profile_label label_of(struct block_adder *a, const uint64_t *row)
{
    const bool is_number = row[4] != 0;
    return (struct profile_label){.key = add_string(a, row[0]),
                                  .text = is_number ? 0 : add_string(a, row[1]),
                                  .number = is_number ? (int64_t)row[2] : 0,
                                  .unit = is_number ? add_string(a, row[3]) : 0,
                                  .is_number = is_number};
}

static bool has_key(const struct profile_label *labels, size_t count, profile_id key)
{
    for (size_t i = 0; i < count; i++)
        if (labels[i].key == key)
            return true;
    return false;
}

/* The labels of a set, and the extra ones whose key it has not. */
static profile_id set_of(struct block_adder *a, uint64_t id)
{
    if (a->sets[id] != 0 || (id == 0 && a->extra.count == 0))
        return a->sets[id];
    const size_t own = id != 0 ? (size_t)block_row(&a->tables->sets, id)[0] : 0;
    size_t count = own;
    for (size_t i = 0; i < own; i++)
        a->labels[i] =
            label_of(a, columns_row(&a->tables->labels, a->tables->first_labels[id] + i));
    for (size_t i = 0; i < a->extra.count; i++)
        if (!has_key(a->labels, own, a->extra.labels[i].key))
            a->labels[count++] = a->extra.labels[i];
    return a->sets[id] = profile_all_labels(a->sum, a->labels, count);
}

/* ---- where it goes ---- */

/* The first mapping is the program's (profile.h). */
static void add_program(struct block_adder *a)
{
    const size_t rows = a->tables->mappings.rows;
    if (profile_mapping_count(a->sum) == 1)
        for (uint64_t id = 1; id <= rows && add_mapping(a, id) == 0;)
            id++;
}

static void forget_lines(struct block_adder *a)
{
    memset(a->lines, 0, (a->tables->sets.rows + 1) * sizeof(*a->lines));
}

static void settle_sum(struct block_adder *a, const struct block_target *target)
{
    if (a->sum != NULL && a->version == target->version)
        return;
    a->sum = target->sum;
    a->version = target->version;
    memset(a->ids, 0, a->id_count * sizeof(*a->ids));
    a->extra.count = 0;
    add_program(a);
}

static void settle_labels(struct block_adder *a, const struct profile_extra *extra)
{
    const size_t size = extra->count * sizeof(*extra->labels);
    if (a->extra.count == extra->count && memcmp(a->extra.labels, extra->labels, size) == 0)
        return;
    a->extra.count = extra->count;
    memcpy(a->extra.labels, extra->labels, size);
    memset(a->sets, 0, (a->tables->sets.rows + 1) * sizeof(*a->sets));
}

/* ---- samples ---- */

/* A sheet of the interval. */
struct part {
    const struct block_target *target;
    const struct profile_place *places;
    const bool *without; /* NULL: none */
    size_t width;
};

/* The values that go, the others 0; NULL: the row has none. */
static const int64_t *pick(const struct part *part, const uint64_t *row,
                           int64_t room[PROFILE_MAX_VALUES])
{
    const int64_t *values = (const int64_t *)row + BLOCK_KEY_WIDTH;
    bool any = false;
    if (part->without == NULL)
        return values;
    for (size_t k = 0; k < part->width; k++) {
        room[k] = part->without[k] ? 0 : values[k];
        any |= room[k] != 0;
    }
    return any ? room : NULL;
}

/* The line that a row goes to; NULL: none. */
static struct tally_line *find_line(struct block_adder *a, const struct part *part,
                                    uint64_t set)
{
    bool flushed = false;
    const struct tally_key key = {
        .labels = set_of(a, set), .width = part->width, .places = part->places};
    struct tally_line *line = tally_find(part->target->tally, a->sum, &key, &flushed);
    if (flushed)
        forget_lines(a);
    return a->lines[set] = line;
}

/* Into the tally after all, or into the sum itself. Spans have few samples each: what has a
 * link is not worth a line. */
static __attribute__((noinline)) int add_apart(struct block_adder *a, const struct part *part,
                                               const uint64_t *row, const int64_t *values)
{
    int64_t placed[PROFILE_MAX_VALUES] = {0};
    const profile_id stack = stack_of(a, row[0]);
    struct tally_line *line = a->lines[row[2]];
    if (row[1] == 0 && line == NULL && part->target->tally != NULL)
        line = find_line(a, part, row[2]);
    if (row[1] == 0 && line != NULL) {
        if (tally_add(part->target->tally, line, stack, values) == 0)
            return 0;
        if (tally_make_room(part->target->tally, line, a->sum)) {
            forget_lines(a);
            line = find_line(a, part, row[2]);
            if (line != NULL && tally_add(part->target->tally, line, stack, values) == 0)
                return 0;
        }
    }
    for (size_t k = 0; k < part->width; k++)
        profile_put(placed, part->places[k], values[k]);
    return profile_add_row(a->sum, part->places[0].column, stack, link_of(a, row[1]),
                           set_of(a, row[2]), placed);
}

static int add_samples(struct block_adder *a, const struct part *part,
                       const struct columns *samples)
{
    const bool many = a->tables->depth <= DEEP;
    int64_t room[PROFILE_MAX_VALUES];
    forget_lines(a);
    for (size_t i = 0; i < samples->rows; i++) {
        const uint64_t *row = columns_row(samples, i);
        const int64_t *values = pick(part, row, room);
        struct tally_line *line = a->lines[row[2]];
        if (values == NULL)
            continue;
        if (row[0] != 0 && a->stacks[row[0]] == 0 && part->without == NULL && many)
            add_stacks(a, samples, i);
        if (row[1] == 0 && line != NULL && tally_add_known(line, stack_of(a, row[0]), values))
            continue;
        TRY(add_apart(a, part, row, values));
    }
    return 0;
}

/* A sheet as rows of a writer's. */
static int copy_samples(struct block_adder *a, struct block_writer *writer, size_t sheet,
                        const struct columns *samples)
{
    struct columns *copies = NULL;
    TRY(block_writer_room(writer, sheet, samples->rows, &copies));
    for (size_t i = 0; i < samples->rows; i++) {
        const uint64_t *row = columns_row(samples, i);
        uint64_t *copy = columns_row(copies, i);
        copy[0] = stack_of(a, row[0]);
        copy[1] = link_of(a, row[1]);
        copy[2] = set_of(a, row[2]);
        memcpy(copy + BLOCK_KEY_WIDTH, row + BLOCK_KEY_WIDTH,
               (samples->width - BLOCK_KEY_WIDTH) * sizeof(*row));
    }
    return 0;
}

static int copy_interval(struct block_adder *a, const struct block_interval *interval,
                         struct block_writer *writer)
{
    int status = 0;
    for (size_t i = 0; status == 0 && i < interval->sheets; i++)
        if (interval->widths[i] > 0)
            status = copy_samples(a, writer, i, &interval->samples[i]);
    return block_writer_close(writer, status);
}

int block_add(struct block_adder *a, const struct block_interval *interval,
              const struct block_target *target, const bool *without)
{
    settle_sum(a, target);
    settle_labels(a, &target->extra);
    if (target->writer != NULL)
        return copy_interval(a, interval, target->writer);
    for (size_t i = 0, column = 0; i < interval->sheets; column += interval->widths[i++]) {
        const struct part part = {.target = target,
                                  .places = target->places + column,
                                  .without = without != NULL ? without + column : NULL,
                                  .width = interval->widths[i]};
        TRY(add_samples(a, &part, &interval->samples[i]));
    }
    return 0;
}

/* ---- the whole ---- */

static bool init_maps(struct block_adder *a)
{
    const struct block_tables *t = a->tables;
    const struct {
        profile_id **map;
        size_t rows;
    } parts[] = {{&a->strings, t->strings.rows},
                 {&a->mappings, t->mappings.rows},
                 {&a->functions, t->functions.rows},
                 {&a->locations, t->locations.rows},
                 {&a->stacks, t->stacks.rows},
                 {&a->links, (size_t)t->links},
                 {&a->sets, t->sets.rows}};
    const size_t count = sizeof(parts) / sizeof(*parts);
    for (size_t i = 0; i < count; i++)
        a->id_count += parts[i].rows + 1;
    profile_id *map = a->ids = calloc(a->id_count, sizeof(*a->ids));
    for (size_t i = 0; map != NULL && i < count; map += parts[i++].rows + 1)
        *parts[i].map = map;
    return map != NULL;
}

int block_adder_init(struct block_adder *a, const struct block_tables *tables)
{
    *a = (struct block_adder){.tables = tables};
    a->lines = calloc(tables->sets.rows + 1, sizeof(*a->lines));
    const size_t stacks = tables->depth <= DEEP ? STACKS_AT_ONCE : 1;
    a->frames = malloc((tables->depth + 1) * stacks * sizeof(*a->frames));
    a->inlined = malloc((tables->lines.rows + 1) * sizeof(*a->inlined));
    a->labels = malloc((tables->labels.rows + PROFILE_MAX_EXTRA) * sizeof(*a->labels));
    return init_maps(a) && a->lines != NULL && a->frames != NULL && a->inlined != NULL &&
                   a->labels != NULL
               ? 0
               : -ENOMEM;
}

void block_adder_free(struct block_adder *a)
{
    free(a->ids);
    free(a->lines);
    free(a->frames);
    free(a->inlined);
    free(a->labels);
}
