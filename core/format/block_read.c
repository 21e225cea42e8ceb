#include "format/block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/columns.h"
#include "format/frame_type.h"
#include "format/gzip.h"
#include "format/refuse.h"
#include "format/tally.h"
#include "profile/carry.h"
#include "profile/measures.h"

#define FRAMES_ALWAYS                                                                          \
    ((size_t)16 << 20)   /* of all stacks together, whatever the input's size                  \
                          */
#define FRAMES_FACTOR 16 /* a byte of input, beyond that */

/* The tables that refer to others, as they stand in the file. */
struct tables {
    struct columns strings, mappings, functions, locations, lines, nodes, stacks, sets, labels;
    struct columns layouts, sheets, columns, heads;
    uint64_t links;
    const unsigned char *link_bytes, *profile_ids;
};

struct block_reader {
    struct wire_cursor from;
    size_t frames_left;
    struct tables tables;
    struct profile *shared;
    /* The id in `shared` of each row of a table; [0] is 0. */
    profile_id *strings, *mappings, *functions, *locations, *stacks, *links, *sets;
    uint32_t *firsts; /* of each label set: its first row in the table of labels */
    /* One row's payload on its way. */
    profile_id *frames;
    struct profile_line *inlined;
    struct profile_label *labels;
    /* Of intervals that are added up. */
    struct carrier carrier;
    uint64_t version;
    struct block_target target;
    struct profile_extra extra; /* the carrier's */
    struct tally_line **lines;  /* by label set, of the sheet at hand */
    char *error;
};

bool block_detect(const unsigned char *data, size_t size)
{
    return size >= BLOCK_MAGIC_SIZE && memcmp(data, BLOCK_MAGIC, BLOCK_MAGIC_SIZE) == 0;
}

static int refuse_table(const struct block_reader *r, const char *what, int status)
{
    if (status == -EBADMSG)
        refuse(r->error, "the table of %s is damaged", what);
    else if (status != 0)
        refuse_memory(r->error);
    return status;
}

/* An id of a table with that many rows. */
static int check_id(const struct block_reader *r, uint64_t id, size_t rows, const char *what)
{
    return id <= rows
               ? 0
               : refuse(r->error, "names %s %llu of %zu", what, (unsigned long long)id, rows);
}

#define CHECK(id, table, what) TRY(check_id(r, id, r->tables.table.rows, what))

static int read_table(struct block_reader *r, struct columns *table, size_t width,
                      const char *what)
{
    return refuse_table(r, what, columns_read(table, width, &r->from));
}

/* Bytes as they lie in the input: `count` of `size`. */
static int read_bytes(struct block_reader *r, uint64_t count, size_t size,
                      const unsigned char **at, const char *what)
{
    if (count > (size_t)(r->from.end - r->from.at) / size)
        return refuse(r->error, "the table of %s is cut short", what);
    *at = r->from.at;
    r->from.at += count * size;
    return 0;
}

static int new_ids(const struct block_reader *r, size_t rows, profile_id **ids)
{
    *ids = calloc(rows + 1, sizeof(**ids));
    return *ids != NULL ? 0 : refuse_memory(r->error);
}

/* Has everything that was interned found room? */
static int check_shared(const struct block_reader *r)
{
    return profile_error(r->shared) == 0 ? 0 : refuse_memory(r->error);
}

/* ---- what intervals share ---- */

static int read_strings(struct block_reader *r)
{
    const struct columns *table = &r->tables.strings;
    TRY(read_table(r, &r->tables.strings, BLOCK_STRING_WIDTH, "strings"));
    TRY(new_ids(r, table->rows, &r->strings));
    for (size_t i = 0; i < table->rows; i++) {
        const uint64_t length = columns_row(table, i)[0];
        const unsigned char *text = NULL;
        TRY(read_bytes(r, length, 1, &text, "strings"));
        r->strings[i + 1] = profile_string_n(r->shared, (const char *)text, (size_t)length);
    }
    return check_shared(r);
}

static int read_mappings(struct block_reader *r)
{
    const struct columns *table = &r->tables.mappings;
    TRY(read_table(r, &r->tables.mappings, BLOCK_MAPPING_WIDTH, "mappings"));
    TRY(new_ids(r, table->rows, &r->mappings));
    for (size_t i = 0; i < table->rows; i++) {
        const uint64_t *row = columns_row(table, i);
        for (size_t k = 3; k < 6; k++)
            CHECK(row[k], strings, "string");
        const struct profile_mapping mapping = {
            .start = row[0],
            .limit = row[1],
            .file_offset = row[2],
            .filename = r->strings[row[3]],
            .build_id = r->strings[row[4]],
            .htlhash = r->strings[row[5]],
            .symbols = (uint32_t)(row[6] & (PROFILE_SYMBOLS_TOLD | PROFILE_HAS_ALL)),
        };
        r->mappings[i + 1] = profile_mapping(r->shared, &mapping);
    }
    return check_shared(r);
}

static int read_functions(struct block_reader *r)
{
    const struct columns *table = &r->tables.functions;
    TRY(read_table(r, &r->tables.functions, BLOCK_FUNCTION_WIDTH, "functions"));
    TRY(new_ids(r, table->rows, &r->functions));
    for (size_t i = 0; i < table->rows; i++) {
        const uint64_t *row = columns_row(table, i);
        for (size_t k = 0; k < 3; k++)
            CHECK(row[k], strings, "string");
        const struct profile_function function = {.name = r->strings[row[0]],
                                                  .system_name = r->strings[row[1]],
                                                  .filename = r->strings[row[2]],
                                                  .start_line = (int64_t)row[3]};
        r->functions[i + 1] = profile_function(r->shared, &function);
    }
    return check_shared(r);
}

static int read_lines(const struct block_reader *r, size_t first, uint64_t count)
{
    const struct columns *table = &r->tables.lines;
    if (count > table->rows - first)
        return refuse(r->error, "the table of lines is cut short");
    for (size_t i = 0; i < count; i++) {
        const uint64_t *row = columns_row(table, first + i);
        CHECK(row[0], functions, "function");
        r->inlined[i] = (struct profile_line){.function = r->functions[row[0]],
                                              .line = (int64_t)row[1],
                                              .column = (int64_t)row[2]};
    }
    return 0;
}

static int read_locations(struct block_reader *r)
{
    const struct columns *table = &r->tables.locations;
    size_t used = 0;
    TRY(read_table(r, &r->tables.locations, BLOCK_LOCATION_WIDTH, "locations"));
    TRY(read_table(r, &r->tables.lines, BLOCK_LINE_WIDTH, "lines"));
    TRY(new_ids(r, table->rows, &r->locations));
    r->inlined = malloc((r->tables.lines.rows + 1) * sizeof(*r->inlined));
    if (r->inlined == NULL)
        return refuse_memory(r->error);
    for (size_t i = 0; i < table->rows; i++) {
        const uint64_t *row = columns_row(table, i);
        CHECK(row[0], mappings, "mapping");
        CHECK(row[3], strings, "string");
        if (row[2] >= FRAME_TYPE_COUNT)
            return refuse(r->error, "location %zu is of no known type", i + 1);
        TRY(read_lines(r, used, row[5]));
        const struct profile_location location = {.mapping = r->mappings[row[0]],
                                                  .address = row[1],
                                                  .type = (enum cprof_frame_type)row[2],
                                                  .other_type = r->strings[row[3]],
                                                  .folded = row[4] != 0,
                                                  .line_count = (uint32_t)row[5],
                                                  .lines = r->inlined};
        r->locations[i + 1] = profile_location(r->shared, &location);
        used += (size_t)row[5];
    }
    return check_shared(r);
}

/* Nodes name only those before them: no circles. */
static int check_nodes(const struct block_reader *r)
{
    for (size_t i = 0; i < r->tables.nodes.rows; i++) {
        const uint64_t *row = columns_row(&r->tables.nodes, i);
        CHECK(row[1], locations, "location");
        if (row[0] > i || row[1] == 0)
            return refuse(r->error, "stack node %zu has no place", i + 1);
    }
    return 0;
}

/* A stack from its node up. A small trie can hold long stacks many times: all of them together
 * are bounded. */
static int read_stack(struct block_reader *r, uint64_t node, profile_id *stack)
{
    size_t depth = 0;
    CHECK(node, nodes, "stack node");
    for (; node != 0; depth++) {
        const uint64_t *row = columns_row(&r->tables.nodes, (size_t)node - 1);
        if (r->frames_left-- == 0)
            return refuse(r->error, "its stacks are longer than its size allows");
        r->frames[depth] = r->locations[row[1]];
        node = row[0];
    }
    *stack = profile_stack(r->shared, r->frames, depth);
    return 0;
}

static int read_stacks(struct block_reader *r)
{
    const struct columns *table = &r->tables.stacks;
    TRY(read_table(r, &r->tables.nodes, BLOCK_NODE_WIDTH, "stack nodes"));
    TRY(read_table(r, &r->tables.stacks, BLOCK_STACK_WIDTH, "stacks"));
    TRY(check_nodes(r));
    TRY(new_ids(r, table->rows, &r->stacks));
    r->frames = malloc((r->tables.nodes.rows + 1) * sizeof(*r->frames));
    if (r->frames == NULL)
        return refuse_memory(r->error);
    for (size_t i = 0; i < table->rows; i++)
        TRY(read_stack(r, columns_row(table, i)[0], &r->stacks[i + 1]));
    return check_shared(r);
}

static int read_links(struct block_reader *r)
{
    struct tables *tables = &r->tables;
    if (!wire_next_number(&r->from, &tables->links))
        return refuse(r->error, "the table of links is cut short");
    TRY(read_bytes(r, tables->links, sizeof(struct profile_link), &tables->link_bytes,
                   "links"));
    TRY(new_ids(r, (size_t)tables->links, &r->links));
    for (size_t i = 0; i < tables->links; i++) {
        struct profile_link link;
        memcpy(&link, tables->link_bytes + i * sizeof(link), sizeof(link));
        r->links[i + 1] = profile_link(r->shared, &link);
    }
    return check_shared(r);
}

static int read_labels(const struct block_reader *r, size_t first, uint64_t count)
{
    const struct columns *table = &r->tables.labels;
    if (count > table->rows - first)
        return refuse(r->error, "the table of labels is cut short");
    for (size_t i = 0; i < count; i++) {
        const uint64_t *row = columns_row(table, first + i);
        CHECK(row[0], strings, "string");
        CHECK(row[1], strings, "string");
        CHECK(row[3], strings, "string");
        r->labels[i] = (struct profile_label){.key = r->strings[row[0]],
                                              .text = row[4] == 0 ? r->strings[row[1]] : 0,
                                              .number = row[4] != 0 ? (int64_t)row[2] : 0,
                                              .unit = row[4] != 0 ? r->strings[row[3]] : 0,
                                              .is_number = row[4] != 0};
    }
    return 0;
}

static int read_sets(struct block_reader *r)
{
    const struct columns *table = &r->tables.sets;
    size_t used = 0;
    TRY(read_table(r, &r->tables.sets, BLOCK_SET_WIDTH, "label sets"));
    TRY(read_table(r, &r->tables.labels, BLOCK_LABEL_WIDTH, "labels"));
    TRY(new_ids(r, table->rows, &r->sets));
    r->labels = malloc((r->tables.labels.rows + 1) * sizeof(*r->labels));
    if (r->labels == NULL)
        return refuse_memory(r->error);
    TRY(new_ids(r, table->rows, &r->firsts));
    for (size_t i = 0; i < table->rows; i++) {
        const uint64_t count = columns_row(table, i)[0];
        TRY(read_labels(r, used, count));
        r->firsts[i + 1] = (uint32_t)used;
        used += (size_t)count;
    }
    return check_shared(r);
}

/* The labels of a set, which has been checked; their number. */
static size_t labels_of(const struct block_reader *r, uint64_t set)
{
    if (set == 0)
        return 0;
    const uint64_t count = columns_row(&r->tables.sets, (size_t)set - 1)[0];
    read_labels(r, r->firsts[set], count);
    return (size_t)count;
}

/* Its id in `shared`. */
static profile_id set_of(const struct block_reader *r, uint64_t set)
{
    if (set != 0 && r->sets[set] == 0)
        r->sets[set] = profile_all_labels(r->shared, r->labels, labels_of(r, set));
    return r->sets[set];
}

static int read_shared(struct block_reader *r)
{
    TRY(read_strings(r));
    TRY(read_mappings(r));
    TRY(read_functions(r));
    TRY(read_locations(r));
    TRY(read_stacks(r));
    TRY(read_links(r));
    return read_sets(r);
}

/* ---- intervals ---- */

static int read_heads(struct block_reader *r)
{
    struct tables *tables = &r->tables;
    TRY(read_table(r, &tables->layouts, BLOCK_LAYOUT_WIDTH, "layouts"));
    TRY(read_table(r, &tables->sheets, BLOCK_SHEET_WIDTH, "sheets"));
    TRY(read_table(r, &tables->columns, BLOCK_COLUMN_WIDTH, "value types"));
    TRY(read_table(r, &tables->heads, BLOCK_FIELDS, "intervals"));
    if (tables->heads.rows > BLOCK_MAX_INTERVALS || tables->layouts.rows > BLOCK_MAX_INTERVALS)
        return refuse(r->error, "has more than %d intervals", BLOCK_MAX_INTERVALS);
    if (tables->heads.rows == 0)
        return refuse(r->error, "has no intervals");
    return read_bytes(r, tables->heads.rows, sizeof((struct profile_header){0}.profile_id),
                      &tables->profile_ids, "intervals");
}

/* Where a layout's sheets and columns begin in their tables. */
struct layout_place {
    size_t sheet, sheets, column;
};

static int find_layout(const struct block_reader *r, uint64_t number, struct layout_place *at)
{
    const struct tables *tables = &r->tables;
    *at = (struct layout_place){0};
    if (number >= tables->layouts.rows)
        return refuse(r->error, "names layout %llu of %zu", (unsigned long long)number,
                      tables->layouts.rows);
    for (size_t i = 0; i <= number; i++) {
        size_t next = at->sheet + at->sheets;
        uint64_t sheets = columns_row(&tables->layouts, i)[0];
        for (; at->sheet < next; at->sheet++)
            at->column += (size_t)columns_row(&tables->sheets, at->sheet)[0];
        if (sheets > PROFILE_SHEETS_MAX || sheets > tables->sheets.rows - next)
            return refuse(r->error, "layout %zu has too many sheets", i);
        at->sheets = (size_t)sheets;
        for (size_t k = 0; k < at->sheets; k++)
            if (columns_row(&tables->sheets, next + k)[0] > PROFILE_MAX_VALUES)
                return refuse(r->error, "layout %zu has too many value types", i);
    }
    return 0;
}

static int add_sheet(const struct block_reader *r, const uint64_t *row, size_t column,
                     size_t sheet, struct profile *p)
{
    if (sheet > 0 && profile_add_sheet(p) < 0)
        return refuse_memory(r->error);
    if (column > r->tables.columns.rows || row[0] > r->tables.columns.rows - column)
        return refuse(r->error, "the table of value types is cut short");
    CHECK(row[1], strings, "string");
    CHECK(row[2], strings, "string");
    profile_set_period(p, sheet, profile_text(r->shared, r->strings[row[1]]),
                       profile_text(r->shared, r->strings[row[2]]), (int64_t)row[3]);
    for (size_t i = 0; i < row[0]; i++) {
        const uint64_t *type = columns_row(&r->tables.columns, column + i);
        CHECK(type[0], strings, "string");
        CHECK(type[1], strings, "string");
        int status =
            profile_add_value_type(p, sheet, profile_text(r->shared, r->strings[type[0]]),
                                   profile_text(r->shared, r->strings[type[1]]));
        if (status != 0)
            return status == -ENOMEM ? refuse_memory(r->error)
                                     : refuse(r->error, "has a value type twice, or too many");
    }
    return 0;
}

static int add_sheets(const struct block_reader *r, const struct layout_place *at,
                      struct profile *p)
{
    size_t column = at->column;
    for (size_t i = 0; i < at->sheets; i++) {
        const uint64_t *row = columns_row(&r->tables.sheets, at->sheet + i);
        TRY(add_sheet(r, row, column, i, p));
        column += (size_t)row[0];
    }
    if (column == at->column)
        return refuse(r->error, "has an interval without values");
    return 0;
}

static int add_attributes(const struct block_reader *r, uint64_t set,
                          enum profile_attributes which, struct profile *p)
{
    CHECK(set, sets, "label set");
    const size_t count = labels_of(r, set);
    for (size_t i = 0; i < count; i++) {
        const struct profile_label *label = &r->labels[i];
        const char *key = profile_text(r->shared, label->key);
        int status = label->is_number ? profile_set_number(p, which, key, label->number)
                                      : profile_set_text(p, which, key,
                                                         profile_text(r->shared, label->text));
        if (status != 0)
            return status == -ENOMEM ? refuse_memory(r->error)
                                     : refuse(r->error, "has too many attributes");
    }
    return 0;
}

static int add_header(const struct block_reader *r, size_t number, struct profile *p)
{
    const uint64_t *row = columns_row(&r->tables.heads, number);
    struct profile_header h = {.time_ns = row[BLOCK_TIME], .duration_ns = row[BLOCK_DURATION]};
    const struct {
        enum block_field field;
        profile_id *to;
    } strings[] = {
        {BLOCK_DEFAULT_TYPE, &h.default_type}, {BLOCK_DOC_URL, &h.doc_url},
        {BLOCK_DROP_FRAMES, &h.drop_frames},   {BLOCK_KEEP_FRAMES, &h.keep_frames},
        {BLOCK_SCOPE_NAME, &h.scope_name},     {BLOCK_SCOPE_VERSION, &h.scope_version},
        {BLOCK_PROGRAM, &h.program},
    };
    for (size_t i = 0; i < sizeof(strings) / sizeof(*strings); i++) {
        CHECK(row[strings[i].field], strings, "string");
        *strings[i].to = r->strings[row[strings[i].field]];
    }
    memcpy(h.profile_id, r->tables.profile_ids + number * sizeof(h.profile_id),
           sizeof(h.profile_id));
    *profile_header(r->shared) = h; /* its ids are the shared ones */
    profile_adopt_header(p, r->shared);
    for (enum profile_attributes which = PROFILE_RESOURCE; which <= PROFILE_COMMENTS; which++)
        TRY(add_attributes(r, row[BLOCK_ATTRIBUTES + which], which, p));
    return 0;
}

/* The samples of an interval as the file has them: a table for each sheet, in which all ids are
 * of their tables. */
struct interval {
    struct layout_place at;
    struct columns samples[PROFILE_SHEETS_MAX];
    size_t widths[PROFILE_SHEETS_MAX]; /* value columns of each */
};

static void interval_free(struct interval *interval)
{
    for (size_t i = 0; i < interval->at.sheets; i++)
        columns_free(&interval->samples[i]);
}

/* Looks at the ids of a row, and gives the values what their factors tell. */
static int check_row(const struct block_reader *r, uint64_t *row, size_t width,
                     const uint64_t *factors)
{
    CHECK(row[0], stacks, "stack");
    TRY(check_id(r, row[1], (size_t)r->tables.links, "link"));
    CHECK(row[2], sets, "label set");
    for (size_t k = 1; k < width; k++)
        row[BLOCK_KEY_WIDTH + k] += row[BLOCK_KEY_WIDTH] * factors[k];
    return 0;
}

static int read_samples(const struct block_reader *r, struct wire_cursor *from, size_t width,
                        struct columns *samples)
{
    struct columns factors = {0};
    int status = refuse_table(r, "factors", columns_read(&factors, width, from));
    if (status == 0 && factors.rows != 1)
        status = refuse(r->error, "the table of factors is damaged");
    if (status == 0)
        status =
            refuse_table(r, "samples", columns_read(samples, BLOCK_KEY_WIDTH + width, from));
    for (size_t i = 0; status == 0 && i < samples->rows; i++)
        status = check_row(r, columns_row(samples, i), width, factors.cells);
    columns_free(&factors);
    return status;
}

/* All sheets, before anything is made of one: of an interval that is damaged nothing counts. */
static int read_sheets(const struct block_reader *r, struct wire_cursor from,
                       struct interval *interval)
{
    for (size_t i = 0; i < interval->at.sheets; i++) {
        const uint64_t *row = columns_row(&r->tables.sheets, interval->at.sheet + i);
        interval->widths[i] = (size_t)row[0];
        if (interval->widths[i] > 0)
            TRY(read_samples(r, &from, interval->widths[i], &interval->samples[i]));
    }
    return 0;
}

/* How the rows become samples: each value goes to a place among those of the carrier's target.
 */
struct carrying {
    struct carrier *carrier;
    const struct profile_place *places;
    const bool *without; /* by column: not these; NULL: all, also rows that are 0 */
};

/* The values of a row that are wanted, the others 0; false: it has none. */
static bool pick_values(const struct carrying *c, const uint64_t *row, size_t column,
                        size_t width, int64_t values[PROFILE_MAX_VALUES])
{
    bool any = c->without == NULL;
    for (size_t k = 0; k < width; k++) {
        const bool wanted = c->without == NULL || !c->without[column + k];
        values[k] = wanted ? (int64_t)row[BLOCK_KEY_WIDTH + k] : 0;
        any = any || values[k] != 0;
    }
    return any;
}

static int carry_row(const struct block_reader *r, const struct carrying *c, size_t column,
                     size_t width, const uint64_t *row, const int64_t *picked)
{
    int64_t values[PROFILE_MAX_VALUES] = {0};
    const struct profile_sample sample = {
        .stack = r->stacks[row[0]], .link = r->links[row[1]], .labels = set_of(r, row[2])};
    for (size_t k = 0; k < width; k++)
        profile_put(values, c->places[column + k], picked[k]);
    column = c->places[column].column;
    int status = c->carrier->to != c->carrier->from
                     ? carry_values(c->carrier, column, &sample, values)
                     : profile_add_row(r->shared, column, sample.stack, sample.link,
                                       sample.labels, values);
    return status == 0 ? 0 : refuse_memory(r->error);
}

static int carry_interval(const struct block_reader *r, const struct carrying *c,
                          const struct interval *interval)
{
    for (size_t i = 0, column = 0; i < interval->at.sheets; column += interval->widths[i++])
        for (size_t k = 0; k < interval->samples[i].rows; k++) {
            int64_t values[PROFILE_MAX_VALUES];
            const uint64_t *row = columns_row(&interval->samples[i], k);
            if (pick_values(c, row, column, interval->widths[i], values))
                TRY(carry_row(r, c, column, interval->widths[i], row, values));
        }
    return 0;
}

/* Those of the interval that `without` (NULL: none) leaves, as samples of `p`, which has its
 * columns. */
static int fill_profile(const struct block_reader *r, const struct interval *interval,
                        const bool *without, struct profile *p)
{
    struct carrier carrier;
    if (carrier_init(&carrier, p, r->shared) != 0)
        return refuse_memory(r->error);
    carry_program(&carrier);
    const struct carrying c = {&carrier, carrier.places, without};
    int status = carry_interval(r, &c, interval);
    carrier_free(&carrier);
    return status;
}

/* ---- intervals that are added up ---- */

/* One carrier for all intervals of the block, until the sum is another. */
static int renew_carrier(struct block_reader *r)
{
    carrier_free(&r->carrier);
    if (carrier_init(&r->carrier, r->target.sum, r->shared) != 0) {
        r->carrier = (struct carrier){0};
        return refuse_memory(r->error);
    }
    r->version = r->target.version;
    r->extra.count = 0;
    carry_program(&r->carrier);
    return 0;
}

static void settle_labels(struct block_reader *r)
{
    const struct profile_extra *extra = &r->target.extra;
    const size_t size = extra->count * sizeof(*extra->labels);
    if (r->extra.count == extra->count && memcmp(r->extra.labels, extra->labels, size) == 0)
        return;
    r->extra.count = extra->count;
    memcpy(r->extra.labels, extra->labels, size);
    carrier_relabel(&r->carrier, r->extra.labels, r->extra.count);
}

/* Where the interval goes. */
static int settle_target(struct block_reader *r, const struct profile *head,
                         const struct block_visitor *visitor)
{
    TRY(visitor->into(visitor->closure, head, &r->target));
    if (r->carrier.to == NULL || r->version != r->target.version)
        TRY(renew_carrier(r));
    settle_labels(r);
    return 0;
}

/* The line that a row goes to; NULL: none, as spans have few samples each. */
static struct tally_line *line_of(struct block_reader *r, const uint64_t *row,
                                  const struct carrying *c, size_t column, size_t width)
{
    bool flushed = false;
    struct tally_line *line = r->lines[row[2]];
    if (row[1] != 0)
        return NULL;
    if (line != NULL)
        return line;
    const struct tally_key key = {.labels = carry_labels(c->carrier, r->sets[row[2]]),
                                  .width = width,
                                  .places = c->places + column};
    line = tally_find(r->target.tally, r->target.sum, &key, &flushed);
    if (flushed)
        memset(r->lines, 0, (r->tables.sets.rows + 1) * sizeof(*r->lines));
    return r->lines[row[2]] = line;
}

static void forget_lines(struct block_reader *r)
{
    memset(r->lines, 0, (r->tables.sets.rows + 1) * sizeof(*r->lines));
}

/* False: it has to go into the sum itself. */
static bool add_to_tally(struct block_reader *r, const struct carrying *c, size_t column,
                         size_t width, const uint64_t *row, const int64_t *values)
{
    const struct block_target *target = &r->target;
    struct tally_line *line = line_of(r, row, c, column, width);
    if (line == NULL)
        return false;
    const profile_id stack = carry_stack(c->carrier, r->stacks[row[0]]);
    if (tally_add(target->tally, line, stack, values) == 0)
        return true;
    if (!tally_make_room(target->tally, line, target->sum))
        return false;
    forget_lines(r);
    line = line_of(r, row, c, column, width);
    return line != NULL && tally_add(target->tally, line, stack, values) == 0;
}

static int add_row(struct block_reader *r, const struct carrying *c, size_t column,
                   size_t width, const uint64_t *row)
{
    int64_t values[PROFILE_MAX_VALUES];
    if (!pick_values(c, row, column, width, values) ||
        add_to_tally(r, c, column, width, row, values))
        return 0;
    return carry_row(r, c, column, width, row, values);
}

/* Gives take() the levels. */
static int take_levels(const struct block_reader *r, const struct interval *interval,
                       struct profile *head, bool levels[PROFILE_MAX_VALUES],
                       const struct block_visitor *visitor)
{
    for (size_t i = 0; i < profile_value_count(head); i++)
        levels[i] = !levels[i];
    profile_remove_metrics(head);
    int status = fill_profile(r, interval, levels, head);
    if (status == 0)
        return visitor->take(visitor->closure, head);
    profile_free(head);
    return status;
}

static int add_sheets_up(struct block_reader *r, const struct carrying *c,
                         const struct interval *interval)
{
    for (size_t i = 0, column = 0; i < interval->at.sheets; column += interval->widths[i++]) {
        const struct columns *samples = &interval->samples[i];
        forget_lines(r);
        for (size_t k = 0; k < samples->rows; k++)
            TRY(add_row(r, c, column, interval->widths[i], columns_row(samples, k)));
    }
    return 0;
}

/* Adds an interval, whose head is owned from now on, to the visitor's sum. */
static int add_interval(struct block_reader *r, const struct interval *interval,
                        struct profile *head, const struct block_visitor *visitor)
{
    bool levels[PROFILE_MAX_VALUES];
    const bool has_levels = profile_has_levels(head);
    for (size_t i = 0; i < profile_value_count(head); i++)
        levels[i] = measure_is_level(profile_type(head, i));
    int status = settle_target(r, head, visitor);
    const struct carrying c = {&r->carrier, r->target.places, has_levels ? levels : NULL};
    if (status == 0)
        status = add_sheets_up(r, &c, interval);
    if (status == 0 && has_levels)
        return take_levels(r, interval, head, levels, visitor);
    profile_free(head);
    return status;
}

/* ---- one after the other ---- */

static int begin_interval(const struct block_reader *r, size_t number, struct profile *p,
                          struct layout_place *at)
{
    TRY(find_layout(r, columns_row(&r->tables.heads, number)[BLOCK_LAYOUT], at));
    TRY(add_sheets(r, at, p));
    return add_header(r, number, p);
}

/* Shows an interval that has been read, as `p`, which has its head. */
static int show_profile(struct block_reader *r, const struct interval *interval,
                        struct profile *p, const struct block_visitor *visitor)
{
    if (visitor->into != NULL)
        return add_interval(r, interval, p, visitor);
    int status = fill_profile(r, interval, NULL, p);
    if (p == r->shared && status != 0)
        return status;
    if (p == r->shared)
        r->shared = NULL;
    if (status == 0)
        return visitor->take(visitor->closure, p);
    profile_free(p);
    return status;
}

/* A block of one interval, as all are at first, shares its tables with nobody: they become the
 * profile's. */
static bool is_alone(const struct block_reader *r, const struct block_visitor *visitor)
{
    return r->tables.heads.rows == 1 && visitor->into == NULL;
}

/* Shows one interval, whose samples lie in `from`, to the visitor, if it is wanted. */
static int show_interval(struct block_reader *r, size_t number, struct wire_cursor from,
                         const struct block_visitor *visitor)
{
    struct interval interval = {0};
    const uint64_t *row = columns_row(&r->tables.heads, number);
    if (visitor->wants != NULL && !visitor->wants(visitor->closure, row[BLOCK_TIME],
                                                  row[BLOCK_TIME] + row[BLOCK_DURATION]))
        return 0;
    struct profile *p = is_alone(r, visitor) ? r->shared : profile_new(NULL);
    if (p == NULL)
        return refuse_memory(r->error);
    int status = begin_interval(r, number, p, &interval.at);
    if (status == 0)
        status = read_sheets(r, from, &interval);
    if (status == 0)
        status = show_profile(r, &interval, p, visitor);
    else if (p != r->shared)
        profile_free(p);
    interval_free(&interval);
    return status;
}

/* A carrier wants to know how many there are. Of an interval alone, whose tables are `shared`,
 * they come one by one: that has no sets but those of its samples, as attributes are sets in
 * the file only. */
static int make_sets(const struct block_reader *r, const struct block_visitor *visitor)
{
    for (size_t i = 1; !is_alone(r, visitor) && i <= r->tables.sets.rows; i++)
        set_of(r, i);
    return check_shared(r);
}

static int read_intervals(struct block_reader *r, const struct block_visitor *visitor)
{
    TRY(make_sets(r, visitor));
    r->lines = calloc(r->tables.sets.rows + 1, sizeof(*r->lines));
    if (r->lines == NULL)
        return refuse_memory(r->error);
    for (size_t i = 0; i < r->tables.heads.rows; i++) {
        uint64_t size;
        const unsigned char *at = NULL;
        if (!wire_next_number(&r->from, &size))
            return refuse(r->error, "the table of samples is cut short");
        TRY(read_bytes(r, size, 1, &at, "samples"));
        TRY(show_interval(r, i, (struct wire_cursor){at, at + size}, visitor));
    }
    return 0;
}

/* ---- all ---- */

static void reader_free(struct block_reader *r)
{
    struct columns *const tables[] = {
        &r->tables.strings, &r->tables.mappings, &r->tables.functions, &r->tables.locations,
        &r->tables.lines,   &r->tables.nodes,    &r->tables.stacks,    &r->tables.sets,
        &r->tables.labels,  &r->tables.layouts,  &r->tables.sheets,    &r->tables.columns,
        &r->tables.heads,
    };
    void *const blocks[] = {r->strings, r->mappings, r->functions, r->locations,
                            r->stacks,  r->links,    r->sets,      r->frames,
                            r->inlined, r->labels,   r->firsts,    r->lines};
    for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
        columns_free(tables[i]);
    for (size_t i = 0; i < sizeof(blocks) / sizeof(*blocks); i++)
        free(blocks[i]);
    carrier_free(&r->carrier);
    profile_free(r->shared);
}

static int read_raw(const unsigned char *data, size_t size, const struct block_visitor *visitor,
                    char error[FORMAT_ERROR_SIZE])
{
    if (!block_detect(data, size))
        return refuse(error, "is no block of profiles");
    const size_t frames = size * FRAMES_FACTOR;
    struct block_reader r = {.from = {data + BLOCK_MAGIC_SIZE, data + size},
                             .frames_left = frames > FRAMES_ALWAYS ? frames : FRAMES_ALWAYS,
                             .shared = profile_new(NULL),
                             .error = error};
    int status = r.shared != NULL ? read_shared(&r) : refuse_memory(error);
    if (status == 0)
        status = read_heads(&r);
    if (status == 0)
        status = read_intervals(&r, visitor);
    reader_free(&r);
    return status;
}

int block_read(const unsigned char *data, size_t size, const struct block_visitor *visitor,
               char error[FORMAT_ERROR_SIZE])
{
    struct buffer raw = {0};
    if (!gzip_detect(data, size))
        return read_raw(data, size, visitor, error);
    int status = gzip_unpack(data, size, &raw, error);
    if (status == 0)
        status = read_raw(raw.data, raw.size, visitor, error);
    buffer_free(&raw);
    return status;
}
