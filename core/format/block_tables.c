#include "format/block_tables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/frame_type.h"
#include "format/refuse.h"

#define FRAMES_ALWAYS                                                                          \
    ((size_t)16 << 20)   /* of all stacks together, whatever the input's size                  \
                          */
#define FRAMES_FACTOR 16 /* a byte of input, beyond that */

static int refuse_table(const struct block_tables *t, const char *what, int status)
{
    if (status == -EBADMSG)
        refuse(t->error, "the table of %s is damaged", what);
    else if (status != 0)
        refuse_memory(t->error);
    return status;
}

int block_check_id(const struct block_tables *t, uint64_t id, size_t rows, const char *what)
{
    return id <= rows
               ? 0
               : refuse(t->error, "names %s %llu of %zu", what, (unsigned long long)id, rows);
}

#define CHECK(id, table, what) TRY(block_check_id(t, id, t->table.rows, what))

static int read_table(const struct block_tables *t, struct wire_cursor *from,
                      struct columns *table, size_t width, const char *what)
{
    return refuse_table(t, what, columns_read(table, width, from));
}

int block_next_bytes(const struct block_tables *t, struct wire_cursor *from, uint64_t count,
                     size_t size, const unsigned char **at, const char *what)
{
    if (count > (size_t)(from->end - from->at) / size)
        return refuse(t->error, "the table of %s is cut short", what);
    *at = from->at;
    from->at += count * size;
    return 0;
}

/* ---- what intervals share ---- */

static int read_strings(struct block_tables *t, struct wire_cursor *from)
{
    TRY(read_table(t, from, &t->strings, BLOCK_STRING_WIDTH, "strings"));
    t->texts = malloc((t->strings.rows + 1) * sizeof(*t->texts));
    if (t->texts == NULL)
        return refuse_memory(t->error);
    t->texts[0] = "";
    for (size_t i = 0; i < t->strings.rows; i++) {
        const unsigned char *text = NULL;
        TRY(block_next_bytes(t, from, columns_row(&t->strings, i)[0], 1, &text, "strings"));
        t->texts[i + 1] = (const char *)text;
    }
    return 0;
}

static int read_mappings(struct block_tables *t, struct wire_cursor *from)
{
    TRY(read_table(t, from, &t->mappings, BLOCK_MAPPING_WIDTH, "mappings"));
    for (size_t i = 0; i < t->mappings.rows; i++)
        for (size_t k = 3; k < 6; k++)
            CHECK(columns_row(&t->mappings, i)[k], strings, "string");
    return 0;
}

static int read_functions(struct block_tables *t, struct wire_cursor *from)
{
    TRY(read_table(t, from, &t->functions, BLOCK_FUNCTION_WIDTH, "functions"));
    for (size_t i = 0; i < t->functions.rows; i++)
        for (size_t k = 0; k < 3; k++)
            CHECK(columns_row(&t->functions, i)[k], strings, "string");
    return 0;
}

static int check_location(const struct block_tables *t, size_t i)
{
    const uint64_t *row = columns_row(&t->locations, i);
    CHECK(row[0], mappings, "mapping");
    CHECK(row[3], strings, "string");
    if (row[2] >= FRAME_TYPE_COUNT)
        return refuse(t->error, "location %zu is of no known type", i + 1);
    return 0;
}

static int read_locations(struct block_tables *t, struct wire_cursor *from)
{
    TRY(read_table(t, from, &t->locations, BLOCK_LOCATION_WIDTH, "locations"));
    TRY(read_table(t, from, &t->lines, BLOCK_LINE_WIDTH, "lines"));
    t->first_lines = calloc(t->locations.rows + 1, sizeof(*t->first_lines));
    if (t->first_lines == NULL)
        return refuse_memory(t->error);
    for (size_t i = 0, used = 0; i < t->locations.rows; i++) {
        const uint64_t count = columns_row(&t->locations, i)[5];
        TRY(check_location(t, i));
        if (count > t->lines.rows - used)
            return refuse(t->error, "the table of lines is cut short");
        for (uint64_t k = 0; k < count; k++)
            CHECK(columns_row(&t->lines, used + k)[0], functions, "function");
        t->first_lines[i + 1] = (uint32_t)used;
        used += (size_t)count;
    }
    return 0;
}

/* Nodes name only those before them: no circles. Each gets its depth. */
static int check_nodes(const struct block_tables *t, uint32_t *depths)
{
    depths[0] = 0;
    for (size_t i = 0; i < t->nodes.rows; i++) {
        const uint64_t *row = columns_row(&t->nodes, i);
        CHECK(row[1], locations, "location");
        if (row[0] > i || row[1] == 0)
            return refuse(t->error, "stack node %zu has no place", i + 1);
        depths[i + 1] = depths[row[0]] + 1;
    }
    return 0;
}

/* A small trie can hold long stacks many times: all of them together are bounded. */
static int check_stacks(struct block_tables *t, const uint32_t *depths, size_t bound)
{
    size_t frames = 0;
    for (size_t i = 0; i < t->stacks.rows; i++) {
        const uint64_t node = columns_row(&t->stacks, i)[0];
        CHECK(node, nodes, "stack node");
        frames += depths[node];
        if (frames > bound)
            return refuse(t->error, "its stacks are longer than its size allows");
        t->depth = depths[node] > t->depth ? depths[node] : t->depth;
    }
    return 0;
}

static int read_stacks(struct block_tables *t, struct wire_cursor *from, size_t size)
{
    const size_t bound = size * FRAMES_FACTOR;
    TRY(read_table(t, from, &t->nodes, BLOCK_NODE_WIDTH, "stack nodes"));
    TRY(read_table(t, from, &t->stacks, BLOCK_STACK_WIDTH, "stacks"));
    uint32_t *depths = malloc((t->nodes.rows + 1) * sizeof(*depths));
    if (depths == NULL)
        return refuse_memory(t->error);
    int status = check_nodes(t, depths);
    if (status == 0)
        status = check_stacks(t, depths, bound > FRAMES_ALWAYS ? bound : FRAMES_ALWAYS);
    free(depths);
    return status;
}

static int read_links(struct block_tables *t, struct wire_cursor *from)
{
    if (!wire_next_number(from, &t->links))
        return refuse(t->error, "the table of links is cut short");
    return block_next_bytes(t, from, t->links, sizeof(struct profile_link), &t->link_bytes,
                            "links");
}

static int check_label(const struct block_tables *t, size_t i)
{
    const uint64_t *row = columns_row(&t->labels, i);
    CHECK(row[0], strings, "string");
    CHECK(row[1], strings, "string");
    CHECK(row[3], strings, "string");
    return 0;
}

static int read_sets(struct block_tables *t, struct wire_cursor *from)
{
    TRY(read_table(t, from, &t->sets, BLOCK_SET_WIDTH, "label sets"));
    TRY(read_table(t, from, &t->labels, BLOCK_LABEL_WIDTH, "labels"));
    t->first_labels = calloc(t->sets.rows + 1, sizeof(*t->first_labels));
    if (t->first_labels == NULL)
        return refuse_memory(t->error);
    for (size_t i = 0, used = 0; i < t->sets.rows; i++) {
        const uint64_t count = columns_row(&t->sets, i)[0];
        if (count > t->labels.rows - used)
            return refuse(t->error, "the table of labels is cut short");
        for (uint64_t k = 0; k < count; k++)
            TRY(check_label(t, used + k));
        t->first_labels[i + 1] = (uint32_t)used;
        used += (size_t)count;
    }
    return 0;
}

/* ---- intervals ---- */

static int read_heads(struct block_tables *t, struct wire_cursor *from)
{
    TRY(read_table(t, from, &t->layouts, BLOCK_LAYOUT_WIDTH, "layouts"));
    TRY(read_table(t, from, &t->sheets, BLOCK_SHEET_WIDTH, "sheets"));
    TRY(read_table(t, from, &t->columns, BLOCK_COLUMN_WIDTH, "value types"));
    TRY(read_table(t, from, &t->heads, BLOCK_FIELDS, "intervals"));
    if (t->heads.rows > BLOCK_MAX_INTERVALS || t->layouts.rows > BLOCK_MAX_INTERVALS)
        return refuse(t->error, "has more than %d intervals", BLOCK_MAX_INTERVALS);
    if (t->heads.rows == 0)
        return refuse(t->error, "has no intervals");
    return block_next_bytes(t, from, t->heads.rows,
                            sizeof((struct profile_header){0}.profile_id), &t->profile_ids,
                            "intervals");
}

int block_tables_layout(const struct block_tables *t, uint64_t number, struct block_layout *at)
{
    *at = (struct block_layout){0};
    if (number >= t->layouts.rows)
        return refuse(t->error, "names layout %llu of %zu", (unsigned long long)number,
                      t->layouts.rows);
    for (size_t i = 0; i <= number; i++) {
        size_t next = at->sheet + at->sheets;
        uint64_t sheets = columns_row(&t->layouts, i)[0];
        for (; at->sheet < next; at->sheet++)
            at->column += (size_t)columns_row(&t->sheets, at->sheet)[0];
        if (sheets > PROFILE_SHEETS_MAX || sheets > t->sheets.rows - next)
            return refuse(t->error, "layout %zu has too many sheets", i);
        at->sheets = (size_t)sheets;
        for (size_t k = 0; k < at->sheets; k++)
            if (columns_row(&t->sheets, next + k)[0] > PROFILE_MAX_VALUES)
                return refuse(t->error, "layout %zu has too many value types", i);
    }
    return 0;
}

static int check_row(const struct block_tables *t, uint64_t *row, size_t width,
                     const uint64_t *factors)
{
    CHECK(row[0], stacks, "stack");
    TRY(block_check_id(t, row[1], (size_t)t->links, "link"));
    CHECK(row[2], sets, "label set");
    for (size_t k = 1; k < width; k++)
        row[BLOCK_KEY_WIDTH + k] += row[BLOCK_KEY_WIDTH] * factors[k];
    return 0;
}

static int read_samples(const struct block_tables *t, struct wire_cursor *from, size_t width,
                        struct columns *samples)
{
    struct columns factors = {0};
    int status = refuse_table(t, "factors", columns_read(&factors, width, from));
    if (status == 0 && factors.rows != 1)
        status = refuse(t->error, "the table of factors is damaged");
    if (status == 0)
        status =
            refuse_table(t, "samples", columns_read(samples, BLOCK_KEY_WIDTH + width, from));
    for (size_t i = 0; status == 0 && i < samples->rows; i++)
        status = check_row(t, columns_row(samples, i), width, factors.cells);
    columns_free(&factors);
    return status;
}

int block_interval_read(const struct block_tables *t, const struct block_layout *layout,
                        struct wire_cursor from, struct block_interval *interval)
{
    interval->sheets = layout->sheets;
    for (size_t i = 0; i < layout->sheets; i++) {
        interval->widths[i] = (size_t)columns_row(&t->sheets, layout->sheet + i)[0];
        if (interval->widths[i] > 0)
            TRY(read_samples(t, &from, interval->widths[i], &interval->samples[i]));
    }
    return 0;
}

void block_interval_free(struct block_interval *interval)
{
    for (size_t i = 0; i < PROFILE_SHEETS_MAX; i++)
        columns_free(&interval->samples[i]);
}

/* ---- all ---- */

int block_tables_read(struct block_tables *t, struct wire_cursor *from, size_t size,
                      char error[FORMAT_ERROR_SIZE])
{
    *t = (struct block_tables){.error = error};
    TRY(read_strings(t, from));
    TRY(read_mappings(t, from));
    TRY(read_functions(t, from));
    TRY(read_locations(t, from));
    TRY(read_stacks(t, from, size));
    TRY(read_links(t, from));
    TRY(read_sets(t, from));
    return read_heads(t, from);
}

void block_tables_free(struct block_tables *t)
{
    struct columns *const tables[] = {
        &t->strings, &t->mappings, &t->functions, &t->locations, &t->lines,
        &t->nodes,   &t->stacks,   &t->sets,      &t->labels,    &t->layouts,
        &t->sheets,  &t->columns,  &t->heads,
    };
    for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
        columns_free(tables[i]);
    free(t->texts);
    free(t->first_lines);
    free(t->first_labels);
}
