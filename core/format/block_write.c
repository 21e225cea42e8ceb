#include "format/block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/columns.h"
#include "format/digest.h"
#include "format/gzip.h"
#include "format/summary.h"
#include "profile/carry.h"
#include "profile/clamp.h"
#include "profile/memory.h"

#define PACKING 6 /* gzip's level */
#define PACKING_QUICK 1
#define SHARED_PART 2 /* of the memory: for what intervals share; the rest is for samples */

/* Sheets, periods and columns, which intervals mostly have in common. Strings of `shared`. */
struct layout {
    size_t sheets, columns;
    struct profile_period periods[PROFILE_SHEETS_MAX];
    struct profile_value_type types[PROFILE_MAX_VALUES];
    uint32_t widths[PROFILE_SHEETS_MAX];
};

struct interval {
    struct profile_header header; /* strings of `shared` */
    profile_id attributes[PROFILE_COMMENTS + 1];
    size_t layout;
    struct columns samples[PROFILE_SHEETS_MAX];
    struct {
        profile_id service, type, unit;
        int64_t total;
    } shown; /* in the digest */
};

/* Label sets that are in the file only: attributes of a profile that is written as it is. */
struct own_sets {
    const struct profile *from;
    enum profile_attributes which[PROFILE_COMMENTS + 1];
    size_t count;
};

struct block_writer {
    struct profile *shared; /* no samples: all that they name */
    struct memory memory;   /* of the rest */
    struct rows intervals, layouts;
    bool full, quick;
    struct own_sets own;             /* behind the shared ones */
    size_t shown_sheet, shown_place; /* of the interval that is open: the digest's column */
    /* Made by block_writer_end(): */
    uint32_t *order; /* the shared stacks, sorted */
    uint32_t *ranks; /* the place of each */
};

struct block_writer *block_writer_new(struct budget *budget, size_t memory)
{
    struct block_writer *writer = calloc(1, sizeof(*writer));
    if (writer == NULL)
        return NULL;
    writer->memory = (struct memory){.budget = budget, .limit = memory / SHARED_PART};
    writer->intervals.row_size = sizeof(struct interval);
    writer->layouts.row_size = sizeof(struct layout);
    writer->shared = profile_new(budget);
    if (writer->shared == NULL) {
        free(writer);
        return NULL;
    }
    profile_bound(writer->shared, memory / SHARED_PART);
    return writer;
}

static struct interval *interval_at(const struct block_writer *writer, size_t i)
{
    return rows_at(&writer->intervals, (uint32_t)i);
}

static size_t samples_size(const struct columns *samples)
{
    return samples->rows * samples->width * sizeof(*samples->cells);
}

static void interval_free(struct block_writer *writer, struct interval *interval)
{
    for (size_t i = 0; i < PROFILE_SHEETS_MAX; i++)
        memory_release(&writer->memory, interval->samples[i].cells,
                       samples_size(&interval->samples[i]));
}

void block_writer_free(struct block_writer *writer)
{
    if (writer == NULL)
        return;
    for (size_t i = 0; i < writer->intervals.count; i++)
        interval_free(writer, interval_at(writer, i));
    rows_free(&writer->intervals, &writer->memory);
    rows_free(&writer->layouts, &writer->memory);
    profile_free(writer->shared);
    free(writer->order);
    free(writer->ranks);
    free(writer);
}

void block_writer_hasten(struct block_writer *writer)
{
    writer->quick = true;
}

size_t block_writer_count(const struct block_writer *writer)
{
    return writer->intervals.count;
}

/* ---- adding ---- */

static struct layout layout_of(struct profile *shared, const struct profile *p)
{
    struct layout layout = {.sheets = profile_sheet_count(p),
                            .columns = profile_value_count(p)};
    size_t used = 0;
    for (size_t sheet = 0; sheet < layout.sheets; sheet++) {
        profile_adopt_period(shared, 0, p, sheet);
        layout.periods[sheet] = *profile_period_const(shared, 0);
        for (size_t i = 0; i < layout.columns; i++) {
            if (profile_column_sheet(p, i) != sheet)
                continue;
            layout.types[used++] =
                (struct profile_value_type){profile_string(shared, profile_type(p, i)),
                                            profile_string(shared, profile_unit(p, i))};
            layout.widths[sheet]++;
        }
    }
    return layout;
}

static bool same_layout(const struct layout *a, const struct layout *b)
{
    bool same = a->sheets == b->sheets && a->columns == b->columns &&
                memcmp(a->widths, b->widths, sizeof(a->widths)) == 0 &&
                memcmp(a->types, b->types, sizeof(a->types)) == 0;
    for (size_t i = 0; same && i < a->sheets; i++)
        same = a->periods[i].type.type == b->periods[i].type.type &&
               a->periods[i].type.unit == b->periods[i].type.unit &&
               a->periods[i].value == b->periods[i].value;
    return same;
}

/* Its number, or -ENOSPC. */
static int add_layout(struct block_writer *writer, const struct layout *layout)
{
    for (uint32_t i = 0; i < writer->layouts.count; i++)
        if (same_layout(rows_at(&writer->layouts, i), layout))
            return (int)i;
    if (!rows_reserve(&writer->layouts, &writer->memory))
        return -ENOSPC;
    memcpy(rows_at(&writer->layouts, writer->layouts.count), layout, sizeof(*layout));
    return (int)writer->layouts.count++;
}

static struct profile_label copy_label(struct profile *shared, const struct profile *p,
                                       const struct profile_label *label)
{
    const profile_id ids[] = {label->key, label->text, label->unit};
    profile_id copies[3];
    for (size_t i = 0; i < 3; i++)
        copies[i] =
            profile_string_n(shared, profile_text(p, ids[i]), profile_text_length(p, ids[i]));
    return (struct profile_label){.key = copies[0],
                                  .text = copies[1],
                                  .unit = copies[2],
                                  .number = label->number,
                                  .is_number = label->is_number};
}

/* Attributes as a label set: most intervals of a process have the same. */
static int add_attributes(struct profile *shared, const struct profile *p,
                          enum profile_attributes which, profile_id *set)
{
    size_t count = profile_attribute_count(p, which);
    struct profile_label *labels = malloc((count + 1) * sizeof(*labels));
    if (labels == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        labels[i] = copy_label(shared, p, profile_attribute(p, which, i));
    *set = profile_all_labels(shared, labels, count);
    free(labels);
    return 0;
}

/* For the digest. */
static void add_shown(struct block_writer *writer, const struct profile *p,
                      struct interval *interval)
{
    const size_t column = profile_default_column(p);
    const char *service = profile_service(p);
    interval->shown.service = profile_string(writer->shared, service != NULL ? service : "");
    interval->shown.type = profile_string(writer->shared, profile_type(p, column));
    interval->shown.unit = profile_string(writer->shared, profile_unit(p, column));
    interval->shown.total = digest_total(p, column);
}

static int add_head(struct block_writer *writer, const struct profile *p,
                    struct interval *interval)
{
    profile_adopt_header(writer->shared, p);
    interval->header = *profile_header_const(writer->shared);
    for (enum profile_attributes which = PROFILE_RESOURCE; which <= PROFILE_COMMENTS; which++)
        if (add_attributes(writer->shared, p, which, &interval->attributes[which]) != 0)
            return -ENOMEM;
    const struct layout layout = layout_of(writer->shared, p);
    int number = profile_error(writer->shared) == 0 ? add_layout(writer, &layout) : -ENOSPC;
    if (number < 0)
        return number;
    interval->layout = (size_t)number;
    add_shown(writer, p, interval);
    return 0;
}

static int reserve_rows(struct block_writer *writer, size_t rows, uint32_t width,
                        struct columns *samples)
{
    *samples = (struct columns){.width = BLOCK_KEY_WIDTH + width};
    if (rows == 0)
        return 0;
    size_t size = rows * samples->width * sizeof(*samples->cells);
    samples->cells = memory_resize(&writer->memory, NULL, 0, size);
    if (samples->cells == NULL)
        return -ENOSPC;
    samples->rows = rows;
    return 0;
}

/* Room for the samples of one sheet. */
static int reserve_samples(struct block_writer *writer, const struct profile *p, size_t sheet,
                           uint32_t width, struct columns *samples)
{
    const size_t rows = profile_first_sample(p, sheet + 1) - profile_first_sample(p, sheet);
    return reserve_rows(writer, rows, width, samples);
}

static int add_sheet(struct block_writer *writer, struct carrier *c, size_t sheet,
                     uint32_t width, struct columns *samples)
{
    int status = reserve_samples(writer, c->from, sheet, width, samples);
    const size_t first = profile_first_sample(c->from, sheet);
    for (size_t i = 0; status == 0 && i < samples->rows; i++) {
        const struct profile_sample sample = profile_get_sample(c->from, first + i);
        uint64_t *row = columns_row(samples, i);
        row[0] = carry_stack(c, sample.stack);
        row[1] = carry_link(c, sample.link);
        row[2] = carry_labels(c, sample.labels);
        for (uint32_t k = 0; k < width; k++)
            row[BLOCK_KEY_WIDTH + k] = (uint64_t)sample.values[k];
        if (profile_error(c->to) != 0)
            status = -ENOSPC;
    }
    return status;
}

static int add_samples(struct block_writer *writer, const struct profile *p,
                       struct interval *interval)
{
    struct carrier c;
    if (carrier_init(&c, writer->shared, p) != 0)
        return -ENOMEM;
    const struct layout *layout = rows_at(&writer->layouts, (uint32_t)interval->layout);
    int status = 0;
    carry_program(&c);
    for (size_t i = 0; status == 0 && i < layout->sheets; i++)
        status = add_sheet(writer, &c, i, layout->widths[i], &interval->samples[i]);
    carrier_free(&c);
    return status;
}

int block_writer_add(struct block_writer *writer, const struct profile *profile)
{
    struct interval interval = {0};
    if (profile_value_count(profile) == 0)
        return -ENODATA;
    if (writer->full || writer->intervals.count == BLOCK_MAX_INTERVALS ||
        !rows_reserve(&writer->intervals, &writer->memory))
        return -ENOSPC;
    int status = add_head(writer, profile, &interval);
    if (status == 0)
        status = add_samples(writer, profile, &interval);
    writer->full = status != 0;
    if (status == 0)
        memcpy(rows_at(&writer->intervals, writer->intervals.count++), &interval,
               sizeof(interval));
    else
        interval_free(writer, &interval);
    return status;
}

/* ---- adding apart ---- */

int block_writer_begin(struct block_writer *writer, const struct profile *head)
{
    const size_t column = profile_default_column(head);
    if (profile_value_count(head) == 0)
        return -ENODATA;
    if (writer->full || writer->intervals.count == BLOCK_MAX_INTERVALS ||
        !rows_reserve(&writer->intervals, &writer->memory))
        return -ENOSPC;
    struct interval *interval = interval_at(writer, writer->intervals.count);
    *interval = (struct interval){0};
    int status = add_head(writer, head, interval);
    writer->full = status != 0;
    writer->shown_sheet = profile_column_sheet(head, column);
    writer->shown_place = 0;
    for (size_t i = 0; i < column; i++)
        writer->shown_place += profile_column_sheet(head, i) == writer->shown_sheet;
    return status;
}

struct profile *block_writer_shared(struct block_writer *writer)
{
    return writer->shared;
}

int block_writer_room(struct block_writer *writer, size_t sheet, size_t rows,
                      struct columns **samples)
{
    struct interval *interval = interval_at(writer, writer->intervals.count);
    const struct layout *layout = rows_at(&writer->layouts, (uint32_t)interval->layout);
    *samples = &interval->samples[sheet];
    return reserve_rows(writer, rows, layout->widths[sheet], *samples);
}

static int64_t shown_total(const struct block_writer *writer, const struct interval *interval)
{
    const struct columns *samples = &interval->samples[writer->shown_sheet];
    int64_t total = 0;
    for (size_t i = 0; i < samples->rows; i++)
        total = clamp_add(
            total, (int64_t)columns_row(samples, i)[BLOCK_KEY_WIDTH + writer->shown_place]);
    return total;
}

int block_writer_close(struct block_writer *writer, int status)
{
    struct interval *interval = interval_at(writer, writer->intervals.count);
    if (status == 0 && profile_error(writer->shared) != 0)
        status = -ENOSPC;
    if (status == 0) {
        interval->shown.total = shown_total(writer, interval);
        writer->intervals.count++;
        return 0;
    }
    writer->full = true;
    interval_free(writer, interval);
    return status;
}

/* ---- the tables ---- */

/* A table whose rows another function fills. */
static int write_table(struct buffer *out, const struct profile *p, size_t count, size_t width,
                       void (*fill)(const struct profile *p, profile_id id, uint64_t *row))
{
    struct columns table;
    if (columns_init(&table, count - 1, width) != 0)
        return -ENOMEM;
    for (size_t i = 0; i < table.rows; i++)
        fill(p, (profile_id)i + 1, columns_row(&table, i));
    columns_write(&table, out);
    columns_free(&table);
    return 0;
}

static void fill_string(const struct profile *p, profile_id id, uint64_t *row)
{
    row[0] = profile_text_length(p, id);
}

static void fill_mapping(const struct profile *p, profile_id id, uint64_t *row)
{
    const struct profile_mapping *m = profile_get_mapping(p, id);
    const uint64_t cells[BLOCK_MAPPING_WIDTH] = {
        m->start, m->limit, m->file_offset, m->filename, m->build_id, m->htlhash, m->symbols};
    memcpy(row, cells, sizeof(cells));
}

static void fill_function(const struct profile *p, profile_id id, uint64_t *row)
{
    const struct profile_function *f = profile_get_function(p, id);
    const uint64_t cells[BLOCK_FUNCTION_WIDTH] = {f->name, f->system_name, f->filename,
                                                  (uint64_t)f->start_line};
    memcpy(row, cells, sizeof(cells));
}

static void fill_location(const struct profile *p, profile_id id, uint64_t *row)
{
    const struct profile_location *l = profile_get_location(p, id);
    const uint64_t cells[BLOCK_LOCATION_WIDTH] = {l->mapping,    l->address, l->type,
                                                  l->other_type, l->folded,  l->line_count};
    memcpy(row, cells, sizeof(cells));
}

/* The lines of all locations, one after the other. */
static int write_lines(struct buffer *out, const struct profile *p)
{
    struct columns table;
    size_t rows = 0;
    for (profile_id id = 1; id < profile_location_count(p); id++)
        rows += profile_get_location(p, id)->line_count;
    if (columns_init(&table, rows, BLOCK_LINE_WIDTH) != 0)
        return -ENOMEM;
    rows = 0;
    for (profile_id id = 1; id < profile_location_count(p); id++) {
        const struct profile_location *l = profile_get_location(p, id);
        for (uint32_t i = 0; i < l->line_count; i++) {
            const uint64_t cells[BLOCK_LINE_WIDTH] = {
                l->lines[i].function, (uint64_t)l->lines[i].line, (uint64_t)l->lines[i].column};
            memcpy(columns_row(&table, rows++), cells, sizeof(cells));
        }
    }
    columns_write(&table, out);
    columns_free(&table);
    return 0;
}

static size_t own_count(const struct block_writer *writer, size_t set)
{
    return profile_attribute_count(writer->own.from, writer->own.which[set]);
}

static int write_sets(const struct block_writer *writer, struct buffer *out)
{
    const struct profile *p = writer->shared;
    const size_t shared = profile_label_set_count(p) - 1;
    struct columns table;
    if (columns_init(&table, shared + writer->own.count, BLOCK_SET_WIDTH) != 0)
        return -ENOMEM;
    for (size_t i = 0; i < shared; i++)
        columns_row(&table, i)[0] = profile_get_labels(p, (profile_id)i + 1).count;
    for (size_t i = 0; i < writer->own.count; i++)
        columns_row(&table, shared + i)[0] = own_count(writer, i);
    columns_write(&table, out);
    columns_free(&table);
    return 0;
}

static void fill_label(const struct profile_label *l, uint64_t *row)
{
    const uint64_t cells[BLOCK_LABEL_WIDTH] = {l->key, l->text, (uint64_t)l->number, l->unit,
                                               l->is_number};
    memcpy(row, cells, sizeof(cells));
}

/* The labels of all sets, one after the other. */
static int write_labels(const struct block_writer *writer, struct buffer *out)
{
    const struct profile *p = writer->shared;
    struct columns table;
    size_t rows = 0;
    for (profile_id id = 1; id < profile_label_set_count(p); id++)
        rows += profile_get_labels(p, id).count;
    for (size_t i = 0; i < writer->own.count; i++)
        rows += own_count(writer, i);
    if (columns_init(&table, rows, BLOCK_LABEL_WIDTH) != 0)
        return -ENOMEM;
    rows = 0;
    for (profile_id id = 1; id < profile_label_set_count(p); id++) {
        struct profile_label_set set = profile_get_labels(p, id);
        for (uint32_t i = 0; i < set.count; i++)
            fill_label(&set.labels[i], columns_row(&table, rows++));
    }
    for (size_t i = 0; i < writer->own.count; i++)
        for (size_t k = 0; k < own_count(writer, i); k++)
            fill_label(profile_attribute(writer->own.from, writer->own.which[i], k),
                       columns_row(&table, rows++));
    columns_write(&table, out);
    columns_free(&table);
    return 0;
}

static int write_strings(struct buffer *out, const struct profile *p)
{
    if (write_table(out, p, profile_string_count(p), BLOCK_STRING_WIDTH, fill_string) != 0)
        return -ENOMEM;
    for (profile_id id = 1; id < profile_string_count(p); id++)
        buffer_append(out, profile_text(p, id), profile_text_length(p, id));
    return 0;
}

static void write_links(struct buffer *out, const struct profile *p)
{
    wire_number(out, profile_link_count(p) - 1);
    for (profile_id id = 1; id < profile_link_count(p); id++)
        buffer_append(out, profile_get_link(p, id), sizeof(struct profile_link));
}

/* ---- stacks ---- */

/* The frame that far from the root. */
static profile_id frame_at(struct profile_stack stack, uint32_t depth)
{
    return stack.locations[stack.depth - 1 - depth];
}

static uint32_t common_depth(struct profile_stack a, struct profile_stack b)
{
    uint32_t common = 0;
    while (common < a.depth && common < b.depth && frame_at(a, common) == frame_at(b, common))
        common++;
    return common;
}

/* Root first, so that stacks that begin alike are neighbours. */
static int order_stacks(const void *a, const void *b, void *closure)
{
    struct profile_stack x = profile_get_stack(closure, *(const uint32_t *)a);
    struct profile_stack y = profile_get_stack(closure, *(const uint32_t *)b);
    uint32_t common = common_depth(x, y);
    if (common == x.depth || common == y.depth)
        return (x.depth > y.depth) - (x.depth < y.depth);
    profile_id one = frame_at(x, common), other = frame_at(y, common);
    return (one > other) - (one < other);
}

static int sort_stacks(struct block_writer *writer)
{
    size_t count = profile_stack_count(writer->shared);
    free(writer->order);
    free(writer->ranks);
    writer->order = malloc(count * sizeof(*writer->order));
    writer->ranks = malloc(count * sizeof(*writer->ranks));
    if (writer->order == NULL || writer->ranks == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        writer->order[i] = (uint32_t)i;
    qsort_r(writer->order + 1, count - 1, sizeof(*writer->order), order_stacks, writer->shared);
    for (size_t i = 0; i < count; i++)
        writer->ranks[writer->order[i]] = (uint32_t)i;
    return 0;
}

static size_t count_nodes(const struct block_writer *writer)
{
    struct profile_stack before = {0};
    size_t nodes = 0;
    for (size_t i = 1; i < profile_stack_count(writer->shared); i++) {
        struct profile_stack stack = profile_get_stack(writer->shared, writer->order[i]);
        nodes += stack.depth - common_depth(before, stack);
        before = stack;
    }
    return nodes;
}

/* The trie, depth first, and where in it each stack ends. `path` has room for the deepest. */
static void fill_nodes(const struct block_writer *writer, uint64_t *path, struct columns *nodes,
                       struct columns *stacks)
{
    struct profile_stack before = {0};
    size_t used = 0;
    for (size_t i = 0; i < stacks->rows; i++) {
        struct profile_stack stack = profile_get_stack(writer->shared, writer->order[i + 1]);
        for (uint32_t depth = common_depth(before, stack); depth < stack.depth; depth++) {
            uint64_t *node = columns_row(nodes, used++);
            node[0] = depth > 0 ? path[depth - 1] : 0;
            node[1] = frame_at(stack, depth);
            path[depth] = used;
        }
        columns_row(stacks, i)[0] = path[stack.depth - 1];
        before = stack;
    }
}

static int write_stacks(struct block_writer *writer, struct buffer *out)
{
    struct columns nodes = {0}, stacks = {0};
    int status = sort_stacks(writer);
    if (status != 0)
        return status;
    uint64_t *path = calloc(profile_extent(writer->shared).depth + 1, sizeof(*path));
    status =
        path == NULL ? -ENOMEM : columns_init(&nodes, count_nodes(writer), BLOCK_NODE_WIDTH);
    if (status == 0)
        status =
            columns_init(&stacks, profile_stack_count(writer->shared) - 1, BLOCK_STACK_WIDTH);
    if (status == 0) {
        fill_nodes(writer, path, &nodes, &stacks);
        columns_write(&nodes, out);
        columns_write(&stacks, out);
    }
    columns_free(&nodes);
    columns_free(&stacks);
    free(path);
    return status;
}

/* ---- layouts and intervals ---- */

static int write_layouts(const struct block_writer *writer, struct buffer *out)
{
    struct columns layouts = {0}, sheets = {0}, columns = {0};
    size_t sheet_count = 0, column_count = 0;
    for (uint32_t i = 0; i < writer->layouts.count; i++) {
        const struct layout *layout = rows_at(&writer->layouts, i);
        sheet_count += layout->sheets;
        column_count += layout->columns;
    }
    int status = columns_init(&layouts, writer->layouts.count, BLOCK_LAYOUT_WIDTH);
    if (status == 0)
        status = columns_init(&sheets, sheet_count, BLOCK_SHEET_WIDTH);
    if (status == 0)
        status = columns_init(&columns, column_count, BLOCK_COLUMN_WIDTH);
    for (uint32_t i = 0, sheet = 0, column = 0; status == 0 && i < layouts.rows; i++) {
        const struct layout *layout = rows_at(&writer->layouts, i);
        columns_row(&layouts, i)[0] = layout->sheets;
        for (size_t k = 0; k < layout->sheets; k++) {
            const struct profile_period *period = &layout->periods[k];
            const uint64_t cells[BLOCK_SHEET_WIDTH] = {layout->widths[k], period->type.type,
                                                       period->type.unit,
                                                       (uint64_t)period->value};
            memcpy(columns_row(&sheets, sheet++), cells, sizeof(cells));
        }
        for (size_t k = 0; k < layout->columns; k++) {
            const uint64_t cells[BLOCK_COLUMN_WIDTH] = {layout->types[k].type,
                                                        layout->types[k].unit};
            memcpy(columns_row(&columns, column++), cells, sizeof(cells));
        }
    }
    const struct columns *const tables[] = {&layouts, &sheets, &columns};
    for (size_t i = 0; status == 0 && i < 3; i++)
        columns_write(tables[i], out);
    columns_free(&layouts);
    columns_free(&sheets);
    columns_free(&columns);
    return status;
}

static int write_heads(const struct block_writer *writer, struct buffer *out)
{
    struct columns heads;
    if (columns_init(&heads, writer->intervals.count, BLOCK_FIELDS) != 0)
        return -ENOMEM;
    for (size_t i = 0; i < heads.rows; i++) {
        const struct interval *interval = interval_at(writer, i);
        const struct profile_header *h = &interval->header;
        const uint64_t cells[BLOCK_FIELDS] = {
            [BLOCK_TIME] = h->time_ns,
            [BLOCK_DURATION] = h->duration_ns,
            [BLOCK_DEFAULT_TYPE] = h->default_type,
            [BLOCK_DOC_URL] = h->doc_url,
            [BLOCK_DROP_FRAMES] = h->drop_frames,
            [BLOCK_KEEP_FRAMES] = h->keep_frames,
            [BLOCK_SCOPE_NAME] = h->scope_name,
            [BLOCK_SCOPE_VERSION] = h->scope_version,
            [BLOCK_PROGRAM] = h->program,
            [BLOCK_LAYOUT] = interval->layout,
            [BLOCK_ATTRIBUTES + PROFILE_RESOURCE] = interval->attributes[PROFILE_RESOURCE],
            [BLOCK_ATTRIBUTES + PROFILE_ATTRIBUTES] = interval->attributes[PROFILE_ATTRIBUTES],
            [BLOCK_ATTRIBUTES + PROFILE_COMMENTS] = interval->attributes[PROFILE_COMMENTS],
        };
        memcpy(columns_row(&heads, i), cells, sizeof(cells));
    }
    columns_write(&heads, out);
    columns_free(&heads);
    for (size_t i = 0; i < writer->intervals.count; i++)
        buffer_append(out, interval_at(writer, i)->header.profile_id,
                      sizeof(interval_at(writer, i)->header.profile_id));
    return 0;
}

/* ---- samples ---- */

static int order_samples(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    for (size_t i = 0; i < BLOCK_KEY_WIDTH; i++)
        if (x[i] != y[i])
            return x[i] < y[i] ? -1 : 1;
    return 0;
}

/* What the column is, in times of the first one, as far as its first sample tells. */
static uint64_t factor_of(const uint64_t *row, size_t column)
{
    int64_t first = (int64_t)row[BLOCK_KEY_WIDTH], value = (int64_t)row[column];
    return first > 0 && value > 0 && value % first == 0 ? (uint64_t)(value / first) : 0;
}

/* As the file has them: by place of the stack, values less what their factors tell. */
static int write_sheet(const struct block_writer *writer, const struct columns *samples,
                       struct buffer *out)
{
    struct columns copy, factors;
    size_t width = samples->width;
    if (columns_init(&factors, 1, width - BLOCK_KEY_WIDTH) != 0)
        return -ENOMEM;
    if (columns_init(&copy, samples->rows, width) != 0) {
        columns_free(&factors);
        return -ENOMEM;
    }
    if (samples->rows > 0) {
        memcpy(copy.cells, samples->cells, samples_size(samples));
        for (size_t i = 0; i < copy.rows; i++)
            columns_row(&copy, i)[0] = writer->ranks[columns_row(&copy, i)[0]];
        qsort(copy.cells, copy.rows, width * sizeof(*copy.cells), order_samples);
        for (size_t k = BLOCK_KEY_WIDTH + 1; k < width; k++)
            factors.cells[k - BLOCK_KEY_WIDTH] = factor_of(copy.cells, k);
        for (size_t i = 0; i < copy.rows; i++)
            for (size_t k = BLOCK_KEY_WIDTH + 1; k < width; k++)
                columns_row(&copy, i)[k] -=
                    columns_row(&copy, i)[BLOCK_KEY_WIDTH] * factors.cells[k - BLOCK_KEY_WIDTH];
    }
    columns_write(&factors, out);
    columns_write(&copy, out);
    columns_free(&factors);
    columns_free(&copy);
    return 0;
}

static int write_samples(const struct block_writer *writer, const struct interval *interval,
                         struct buffer *out)
{
    const struct layout *layout = rows_at(&writer->layouts, (uint32_t)interval->layout);
    struct buffer content = {0};
    int status = 0;
    for (size_t i = 0; status == 0 && i < layout->sheets; i++)
        if (layout->widths[i] > 0)
            status = write_sheet(writer, &interval->samples[i], &content);
    wire_number(out, content.size);
    wire_concatenate(out, &content);
    buffer_free(&content);
    return status;
}

/* ---- all ---- */

static int write_shared(struct block_writer *writer, struct buffer *out)
{
    const struct profile *p = writer->shared;
    int status = write_strings(out, p);
    if (status == 0)
        status =
            write_table(out, p, profile_mapping_count(p), BLOCK_MAPPING_WIDTH, fill_mapping);
    if (status == 0)
        status =
            write_table(out, p, profile_function_count(p), BLOCK_FUNCTION_WIDTH, fill_function);
    if (status == 0)
        status =
            write_table(out, p, profile_location_count(p), BLOCK_LOCATION_WIDTH, fill_location);
    if (status == 0)
        status = write_lines(out, p);
    if (status == 0)
        status = write_stacks(writer, out);
    write_links(out, p);
    if (status == 0)
        status = write_sets(writer, out);
    return status == 0 ? write_labels(writer, out) : status;
}

/* The digest; without one where it does not fit, the block is as good. */
static int write_digest(const struct block_writer *writer, struct buffer *out)
{
    const struct profile *p = writer->shared;
    struct digest digest = {.service = ""};
    bool fits = true;
    if (columns_init(&digest.intervals, writer->intervals.count, DIGEST_WIDTH) != 0)
        return -ENOMEM;
    for (size_t i = 0; i < digest.intervals.rows; i++) {
        const struct interval *interval = interval_at(writer, i);
        const size_t type = digest_type(&digest, profile_text(p, interval->shown.type),
                                        profile_text(p, interval->shown.unit));
        const uint64_t cells[DIGEST_WIDTH] = {
            [DIGEST_TIME] = interval->header.time_ns,
            [DIGEST_DURATION] = interval->header.duration_ns,
            [DIGEST_TOTAL] = (uint64_t)interval->shown.total,
            [DIGEST_TYPE] = type,
        };
        memcpy(columns_row(&digest.intervals, i), cells, sizeof(cells));
        fits = fits && type < DIGEST_TYPES;
        if (i == 0)
            digest.service = profile_text(p, interval->shown.service);
    }
    if (fits)
        digest_write(&digest, out);
    columns_free(&digest.intervals);
    return out->error;
}

int block_writer_end(struct block_writer *writer, struct buffer *out)
{
    struct buffer raw = {0}, digest = {0};
    buffer_append(&raw, BLOCK_MAGIC, BLOCK_MAGIC_SIZE);
    int status = write_shared(writer, &raw);
    if (status == 0)
        status = write_layouts(writer, &raw);
    if (status == 0)
        status = write_heads(writer, &raw);
    for (size_t i = 0; status == 0 && i < writer->intervals.count; i++)
        status = write_samples(writer, interval_at(writer, i), &raw);
    if (status == 0)
        status = raw.error;
    if (status == 0)
        status = write_digest(writer, &digest);
    if (status == 0)
        status = gzip_pack(&raw, &digest, out, writer->quick ? PACKING_QUICK : PACKING);
    buffer_free(&digest);
    buffer_free(&raw);
    return status;
}

/* ---- a profile alone ---- */

/* Its attributes as sets behind its own; 0 where it has none. */
static void own_attributes(struct block_writer *writer, const struct profile *p,
                           struct interval *interval)
{
    writer->own.from = p;
    for (enum profile_attributes which = PROFILE_RESOURCE; which <= PROFILE_COMMENTS; which++) {
        if (profile_attribute_count(p, which) == 0)
            continue;
        interval->attributes[which] =
            (profile_id)(profile_label_set_count(p) + writer->own.count);
        writer->own.which[writer->own.count++] = which;
    }
}

static profile_id id_of_service(const struct profile *p)
{
    for (size_t i = 0; i < profile_attribute_count(p, PROFILE_RESOURCE); i++) {
        const struct profile_label *attribute = profile_attribute(p, PROFILE_RESOURCE, i);
        if (!attribute->is_number &&
            strcmp(profile_text(p, attribute->key), "service.name") == 0)
            return attribute->text;
    }
    return 0;
}

static void own_shown(const struct profile *p, struct interval *interval)
{
    const size_t column = profile_default_column(p);
    const struct profile_value_type type = profile_value_type(p, column);
    interval->shown.service = id_of_service(p);
    interval->shown.type = type.type;
    interval->shown.unit = type.unit;
    interval->shown.total = digest_total(p, column);
}

static struct layout own_layout(const struct profile *p)
{
    struct layout layout = {.sheets = profile_sheet_count(p),
                            .columns = profile_value_count(p)};
    size_t used = 0;
    for (size_t sheet = 0; sheet < layout.sheets; sheet++) {
        layout.periods[sheet] = *profile_period_const(p, sheet);
        for (size_t i = 0; i < layout.columns; i++) {
            if (profile_column_sheet(p, i) != sheet)
                continue;
            layout.types[used++] = profile_value_type(p, i);
            layout.widths[sheet]++;
        }
    }
    return layout;
}

static int own_samples(struct block_writer *writer, const struct profile *p,
                       const struct layout *layout, struct interval *interval)
{
    for (size_t sheet = 0; sheet < layout->sheets; sheet++) {
        struct columns *samples = &interval->samples[sheet];
        const size_t first = profile_first_sample(p, sheet);
        if (reserve_samples(writer, p, sheet, layout->widths[sheet], samples) != 0)
            return -ENOMEM;
        for (size_t i = 0; i < samples->rows; i++) {
            const struct profile_sample sample = profile_get_sample(p, first + i);
            uint64_t *row = columns_row(samples, i);
            row[0] = sample.stack;
            row[1] = sample.link;
            row[2] = sample.labels;
            for (uint32_t k = 0; k < layout->widths[sheet]; k++)
                row[BLOCK_KEY_WIDTH + k] = (uint64_t)sample.values[k];
        }
    }
    return 0;
}

/* All ids are the profile's own, which is only read. */
static int write_alone(struct block_writer *writer, const struct profile *p, struct buffer *out)
{
    struct interval interval = {.header = *profile_header_const(p)};
    const struct layout layout = own_layout(p);
    if (!rows_reserve(&writer->intervals, &writer->memory))
        return -ENOMEM;
    own_attributes(writer, p, &interval);
    own_shown(p, &interval);
    int status = add_layout(writer, &layout) == 0 ? 0 : -ENOMEM;
    if (status == 0)
        status = own_samples(writer, p, &layout, &interval);
    memcpy(rows_at(&writer->intervals, writer->intervals.count++), &interval, sizeof(interval));
    return status == 0 ? block_writer_end(writer, out) : status;
}

int block_write_alone(const struct profile *profile, struct budget *budget, struct buffer *out)
{
    if (profile_value_count(profile) == 0)
        return -ENODATA;
    struct block_writer *writer = block_writer_new(budget, 0);
    if (writer == NULL)
        return -ENOMEM;
    struct profile *unused = writer->shared;
    writer->shared = (struct profile *)profile;
    writer->quick = true;
    int status = write_alone(writer, profile, out);
    writer->shared = unused;
    block_writer_free(writer);
    return status;
}
