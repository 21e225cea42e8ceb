#include "format/block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/block_add.h"
#include "format/gzip.h"
#include "format/refuse.h"
#include "profile/carry.h"
#include "profile/measures.h"

#define PREPARED_MOST ((size_t)1 << 20) /* bytes of samples, eight times as many in memory */

struct block {
    struct buffer own;       /* its bytes, where they had to be unpacked */
    struct wire_cursor from; /* what follows the tables: intervals' samples */
    struct block_tables tables;
    struct block_interval *ready; /* those that have been read already; NULL: none */
};

struct block_reader {
    struct block *block;
    struct block_tables tables; /* the block's */
    struct profile *shared;
    bool has_all; /* of the tables in `shared`: strings alone until it is needed */
    /* The id in `shared` of each row of a table; [0] is 0. */
    profile_id *strings, *mappings, *functions, *locations, *stacks, *links, *sets;
    /* One row's payload on its way. */
    profile_id *frames;
    struct profile_line *inlined;
    struct profile_label *labels;
    /* Of intervals that are added up. */
    struct block_adder adder;
    struct block_target target;
    char *error;
};

bool block_detect(const unsigned char *data, size_t size)
{
    return size >= BLOCK_MAGIC_SIZE && memcmp(data, BLOCK_MAGIC, BLOCK_MAGIC_SIZE) == 0;
}

#define CHECK(id, table, what) TRY(block_check_id(&r->tables, id, r->tables.table.rows, what))

static int new_ids(const struct block_reader *r, size_t rows, profile_id **ids)
{
    *ids = calloc(rows + 1, sizeof(**ids));
    if (*ids != NULL)
        return 0;
    refuse_memory(r->error);
    return -ENOMEM;
}

/* Has everything that was interned found room? */
static int check_shared(const struct block_reader *r)
{
    return profile_error(r->shared) == 0 ? 0 : refuse_memory(r->error);
}

/* ---- what intervals share ---- */

/* A string's id in `shared`. */
static profile_id string_of(const struct block_reader *r, uint64_t id)
{
    if (id != 0 && r->strings[id] == 0)
        r->strings[id] = profile_string_n(r->shared, r->tables.texts[id],
                                          (size_t)block_row(&r->tables.strings, id)[0]);
    return r->strings[id];
}

static int share_mappings(struct block_reader *r)
{
    const struct columns *table = &r->tables.mappings;
    TRY(new_ids(r, table->rows, &r->mappings));
    for (size_t i = 0; i < table->rows; i++) {
        const uint64_t *row = columns_row(table, i);
        const struct profile_mapping mapping = {
            .start = row[0],
            .limit = row[1],
            .file_offset = row[2],
            .filename = string_of(r, row[3]),
            .build_id = string_of(r, row[4]),
            .htlhash = string_of(r, row[5]),
            .symbols = (uint32_t)(row[6] & (PROFILE_SYMBOLS_TOLD | PROFILE_HAS_ALL)),
        };
        r->mappings[i + 1] = profile_mapping(r->shared, &mapping);
    }
    return 0;
}

static int share_functions(struct block_reader *r)
{
    const struct columns *table = &r->tables.functions;
    TRY(new_ids(r, table->rows, &r->functions));
    for (size_t i = 0; i < table->rows; i++) {
        const uint64_t *row = columns_row(table, i);
        const struct profile_function function = {.name = string_of(r, row[0]),
                                                  .system_name = string_of(r, row[1]),
                                                  .filename = string_of(r, row[2]),
                                                  .start_line = (int64_t)row[3]};
        r->functions[i + 1] = profile_function(r->shared, &function);
    }
    return 0;
}

static void share_lines(struct block_reader *r, size_t first, uint64_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uint64_t *row = columns_row(&r->tables.lines, first + i);
        r->inlined[i] = (struct profile_line){.function = r->functions[row[0]],
                                              .line = (int64_t)row[1],
                                              .column = (int64_t)row[2]};
    }
}

static int share_locations(struct block_reader *r)
{
    const struct columns *table = &r->tables.locations;
    TRY(new_ids(r, table->rows, &r->locations));
    r->inlined = malloc((r->tables.lines.rows + 1) * sizeof(*r->inlined));
    if (r->inlined == NULL)
        return refuse_memory(r->error);
    for (size_t i = 0; i < table->rows; i++) {
        const uint64_t *row = columns_row(table, i);
        share_lines(r, r->tables.first_lines[i + 1], row[5]);
        const struct profile_location location = {.mapping = r->mappings[row[0]],
                                                  .address = row[1],
                                                  .type = (enum cprof_frame_type)row[2],
                                                  .other_type = string_of(r, row[3]),
                                                  .folded = row[4] != 0,
                                                  .line_count = (uint32_t)row[5],
                                                  .lines = r->inlined};
        r->locations[i + 1] = profile_location(r->shared, &location);
    }
    return 0;
}

/* A stack from its node up. */
static profile_id share_stack(const struct block_reader *r, uint64_t node)
{
    size_t depth = 0;
    while (node != 0) {
        const uint64_t *row = block_row(&r->tables.nodes, node);
        r->frames[depth++] = r->locations[row[1]];
        node = row[0];
    }
    return profile_stack(r->shared, r->frames, depth);
}

static int share_stacks(struct block_reader *r)
{
    const struct columns *table = &r->tables.stacks;
    TRY(new_ids(r, table->rows, &r->stacks));
    r->frames = malloc((r->tables.depth + 1) * sizeof(*r->frames));
    if (r->frames == NULL)
        return refuse_memory(r->error);
    for (size_t i = 0; i < table->rows; i++)
        r->stacks[i + 1] = share_stack(r, columns_row(table, i)[0]);
    return 0;
}

static int share_links(struct block_reader *r)
{
    TRY(new_ids(r, (size_t)r->tables.links, &r->links));
    for (size_t i = 0; i < r->tables.links; i++) {
        struct profile_link link;
        memcpy(&link, r->tables.link_bytes + i * sizeof(link), sizeof(link));
        r->links[i + 1] = profile_link(r->shared, &link);
    }
    return 0;
}

/* The labels of a set; their number. */
static size_t labels_of(const struct block_reader *r, uint64_t set)
{
    const size_t count = set != 0 ? (size_t)block_row(&r->tables.sets, set)[0] : 0;
    for (size_t i = 0; i < count; i++) {
        const uint64_t *row = columns_row(&r->tables.labels, r->tables.first_labels[set] + i);
        const bool is_number = row[4] != 0;
        r->labels[i] = (struct profile_label){.key = string_of(r, row[0]),
                                              .text = is_number ? 0 : string_of(r, row[1]),
                                              .number = is_number ? (int64_t)row[2] : 0,
                                              .unit = is_number ? string_of(r, row[3]) : 0,
                                              .is_number = is_number};
    }
    return count;
}

/* Its id in `shared`. */
static profile_id set_of(const struct block_reader *r, uint64_t set)
{
    if (set != 0 && r->sets[set] == 0)
        r->sets[set] = profile_all_labels(r->shared, r->labels, labels_of(r, set));
    return r->sets[set];
}

/* Once. Of an interval alone, whose tables are `shared`, label sets come one by one: that has
 * no sets but those of its samples, as attributes are sets in the file only. */
static int share_tables(struct block_reader *r, bool alone)
{
    if (r->has_all)
        return 0;
    r->has_all = true;
    for (uint64_t id = 1; id <= r->tables.strings.rows; id++)
        string_of(r, id);
    TRY(share_mappings(r));
    TRY(share_functions(r));
    TRY(share_locations(r));
    TRY(share_stacks(r));
    TRY(share_links(r));
    for (size_t i = 1; !alone && i <= r->tables.sets.rows; i++)
        set_of(r, i);
    return check_shared(r);
}

/* ---- intervals ---- */

static int add_sheet(const struct block_reader *r, const uint64_t *row, size_t column,
                     size_t sheet, struct profile *p)
{
    if (sheet > 0 && profile_add_sheet(p) < 0)
        return refuse_memory(r->error);
    if (column > r->tables.columns.rows || row[0] > r->tables.columns.rows - column)
        return refuse(r->error, "the table of value types is cut short");
    CHECK(row[1], strings, "string");
    CHECK(row[2], strings, "string");
    profile_set_period(p, sheet, profile_text(r->shared, string_of(r, row[1])),
                       profile_text(r->shared, string_of(r, row[2])), (int64_t)row[3]);
    for (size_t i = 0; i < row[0]; i++) {
        const uint64_t *type = columns_row(&r->tables.columns, column + i);
        CHECK(type[0], strings, "string");
        CHECK(type[1], strings, "string");
        int status =
            profile_add_value_type(p, sheet, profile_text(r->shared, string_of(r, type[0])),
                                   profile_text(r->shared, string_of(r, type[1])));
        if (status != 0)
            return status == -ENOMEM ? refuse_memory(r->error)
                                     : refuse(r->error, "has a value type twice, or too many");
    }
    return 0;
}

static int add_sheets(const struct block_reader *r, const struct block_layout *at,
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
        *strings[i].to = string_of(r, row[strings[i].field]);
    }
    memcpy(h.profile_id, r->tables.profile_ids + number * sizeof(h.profile_id),
           sizeof(h.profile_id));
    *profile_header(r->shared) = h; /* its ids are the shared ones */
    profile_adopt_header(p, r->shared);
    for (enum profile_attributes which = PROFILE_RESOURCE; which <= PROFILE_COMMENTS; which++)
        TRY(add_attributes(r, row[BLOCK_ATTRIBUTES + which], which, p));
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
                          const struct block_interval *interval)
{
    for (size_t i = 0, column = 0; i < interval->sheets; column += interval->widths[i++])
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
static int fill_profile(const struct block_reader *r, const struct block_interval *interval,
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

/* Gives take() the levels, as a profile. */
static int take_levels(struct block_reader *r, const struct block_interval *interval,
                       struct profile *head, bool levels[PROFILE_MAX_VALUES],
                       const struct block_visitor *visitor)
{
    for (size_t i = 0; i < profile_value_count(head); i++)
        levels[i] = !levels[i];
    profile_remove_metrics(head);
    int status = share_tables(r, false);
    if (status == 0)
        status = fill_profile(r, interval, levels, head);
    if (status == 0)
        return visitor->take(visitor->closure, head);
    profile_free(head);
    return status;
}

static int add_up(struct block_reader *r, const struct block_interval *interval,
                  const bool *without)
{
    if (r->adder.tables == NULL && block_adder_init(&r->adder, &r->tables) != 0)
        return refuse_memory(r->error);
    const int status = block_add(&r->adder, interval, &r->target, without);
    return status == -ENOMEM ? refuse_memory(r->error) : status;
}

/* Gives take() the interval, whose head is owned from now on. */
static int take_whole(struct block_reader *r, const struct block_interval *interval,
                      struct profile *head, const struct block_visitor *visitor)
{
    int status = share_tables(r, false);
    if (status == 0)
        status = fill_profile(r, interval, NULL, head);
    if (status == 0)
        return visitor->take(visitor->closure, head);
    profile_free(head);
    return status;
}

/* Adds an interval, whose head is owned from now on, to the visitor's sum. */
static int add_interval(struct block_reader *r, const struct block_interval *interval,
                        struct profile *head, const struct block_visitor *visitor)
{
    bool levels[PROFILE_MAX_VALUES] = {false};
    const bool has_levels = profile_has_levels(head);
    for (size_t i = 0; i < profile_value_count(head); i++)
        levels[i] = measure_is_level(profile_type(head, i));
    int status = visitor->into(visitor->closure, head, &r->target);
    if (status == BLOCK_WHOLE)
        return take_whole(r, interval, head, visitor);
    if (status == 0)
        status = add_up(r, interval, has_levels ? levels : NULL);
    if (status == 0 && has_levels)
        return take_levels(r, interval, head, levels, visitor);
    profile_free(head);
    return status;
}

/* ---- one after the other ---- */

static int begin_interval(const struct block_reader *r, size_t number, struct profile *p,
                          struct block_layout *at)
{
    const uint64_t *row = columns_row(&r->tables.heads, number);
    TRY(block_tables_layout(&r->tables, row[BLOCK_LAYOUT], at));
    TRY(add_sheets(r, at, p));
    return add_header(r, number, p);
}

/* Shows an interval that has been read, as `p`, which has its head. */
static int show_profile(struct block_reader *r, const struct block_interval *interval,
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

/* Is it asked for? */
static bool wants(const struct block_tables *tables, size_t number,
                  const struct block_visitor *visitor)
{
    const uint64_t *row = columns_row(&tables->heads, number);
    return visitor->wants == NULL || visitor->wants(visitor->closure, row[BLOCK_TIME],
                                                    row[BLOCK_TIME] + row[BLOCK_DURATION]);
}

/* The samples of an interval that lie in `from`, or that have been read from there. */
static int read_interval(struct block_reader *r, size_t number,
                         const struct block_layout *layout, struct wire_cursor from,
                         struct block_interval *interval)
{
    struct block_interval *ready = r->block->ready != NULL ? &r->block->ready[number] : NULL;
    if (ready == NULL || ready->sheets == 0)
        return block_interval_read(&r->tables, layout, from, interval);
    *interval = *ready;
    *ready = (struct block_interval){0};
    return 0;
}

/* Shows one interval, whose samples lie in `from`, to the visitor. */
static int show_interval(struct block_reader *r, size_t number, struct wire_cursor from,
                         const struct block_visitor *visitor)
{
    struct block_interval interval = {0};
    struct block_layout layout;
    struct profile *p = is_alone(r, visitor) ? r->shared : profile_new(NULL);
    if (p == NULL)
        return refuse_memory(r->error);
    int status = begin_interval(r, number, p, &layout);
    if (status == 0)
        status = read_interval(r, number, &layout, from, &interval);
    if (status == 0)
        status = show_profile(r, &interval, p, visitor);
    else if (p != r->shared)
        profile_free(p);
    block_interval_free(&interval);
    return status;
}

/* Where the next interval's samples lie. */
static int next_interval(const struct block_tables *tables, struct wire_cursor *from,
                         struct wire_cursor *samples)
{
    uint64_t size;
    if (!wire_next_number(from, &size))
        return refuse(tables->error, "the table of samples is cut short");
    TRY(block_next_bytes(tables, from, size, 1, &samples->at, "samples"));
    samples->end = samples->at + size;
    return 0;
}

static int read_intervals(struct block_reader *r, const struct block_visitor *visitor)
{
    struct wire_cursor from = r->block->from, samples = {0};
    for (size_t i = 0; i < r->tables.heads.rows; i++) {
        TRY(next_interval(&r->tables, &from, &samples));
        if (wants(&r->tables, i, visitor))
            TRY(show_interval(r, i, samples, visitor));
    }
    return 0;
}

/* ---- all ---- */

/* What the heads of intervals need. */
static int begin_shared(struct block_reader *r)
{
    r->shared = profile_new(NULL);
    r->labels = malloc((r->tables.labels.rows + 1) * sizeof(*r->labels));
    if (r->shared == NULL || r->labels == NULL) {
        refuse_memory(r->error);
        return -ENOMEM;
    }
    TRY(new_ids(r, r->tables.strings.rows, &r->strings));
    return new_ids(r, r->tables.sets.rows, &r->sets);
}

static void reader_free(struct block_reader *r)
{
    void *const blocks[] = {r->strings, r->mappings, r->functions, r->locations, r->stacks,
                            r->links,   r->sets,     r->frames,    r->inlined,   r->labels};
    for (size_t i = 0; i < sizeof(blocks) / sizeof(*blocks); i++)
        free(blocks[i]);
    block_adder_free(&r->adder);
    profile_free(r->shared);
}

int block_show(struct block *block, const struct block_visitor *visitor,
               char error[FORMAT_ERROR_SIZE])
{
    struct block_reader r = {.block = block, .tables = block->tables, .error = error};
    r.tables.error = error;
    int status = begin_shared(&r);
    if (status == 0 && visitor->into == NULL)
        status = share_tables(&r, is_alone(&r, visitor));
    if (status == 0)
        status = read_intervals(&r, visitor);
    reader_free(&r);
    return status;
}

/* ---- beforehand ---- */

static int open_raw(struct block *block, const unsigned char *data, size_t size,
                    char error[FORMAT_ERROR_SIZE])
{
    if (!block_detect(data, size))
        return refuse(error, "is no block of profiles");
    block->from = (struct wire_cursor){data + BLOCK_MAGIC_SIZE, data + size};
    return block_tables_read(&block->tables, &block->from, size, error);
}

int block_open(const unsigned char *data, size_t size, struct block **opened,
               char error[FORMAT_ERROR_SIZE])
{
    struct block *block = calloc(1, sizeof(*block));
    int status = 0;
    *opened = NULL;
    if (block == NULL) {
        refuse_memory(error);
        return -ENOMEM;
    }
    if (gzip_detect(data, size)) {
        status = gzip_unpack(data, size, &block->own, error);
        data = block->own.data;
        size = block->own.size;
    }
    if (status == 0)
        status = open_raw(block, data, size, error);
    if (status == 0)
        *opened = block;
    else
        block_close(block);
    return status;
}

static int prepare_interval(struct block *block, size_t number, struct wire_cursor samples)
{
    const struct block_tables *tables = &block->tables;
    struct block_layout layout;
    TRY(block_tables_layout(tables, columns_row(&tables->heads, number)[BLOCK_LAYOUT],
                            &layout));
    int status = block_interval_read(tables, &layout, samples, &block->ready[number]);
    if (status != 0) {
        block_interval_free(&block->ready[number]);
        block->ready[number] = (struct block_interval){0};
    }
    return status;
}

void block_prepare(struct block *block, const struct block_visitor *visitor)
{
    char error[FORMAT_ERROR_SIZE];
    struct wire_cursor from = block->from, samples = {0};
    const size_t count = block->tables.heads.rows;
    if ((size_t)(from.end - from.at) > PREPARED_MOST || block->ready != NULL)
        return;
    block->tables.error = error;
    block->ready = calloc(count, sizeof(*block->ready));
    for (size_t i = 0; block->ready != NULL && i < count; i++)
        if (next_interval(&block->tables, &from, &samples) != 0 ||
            (wants(&block->tables, i, visitor) && prepare_interval(block, i, samples) != 0))
            break;
}

void block_close(struct block *block)
{
    if (block == NULL)
        return;
    for (size_t i = 0; block->ready != NULL && i < block->tables.heads.rows; i++)
        block_interval_free(&block->ready[i]);
    free(block->ready);
    block_tables_free(&block->tables);
    buffer_free(&block->own);
    free(block);
}

int block_read(const unsigned char *data, size_t size, const struct block_visitor *visitor,
               char error[FORMAT_ERROR_SIZE])
{
    struct block *block;
    int status = block_open(data, size, &block, error);
    if (status == 0)
        status = block_show(block, visitor, error);
    block_close(block);
    return status;
}
