#include "profile/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "profile/label_order.h"
#include "profile/sheet.h"

#define ATTRIBUTE_KINDS (PROFILE_COMMENTS + 1)
#define LABELS_FEW 16 /* sets up to this size are put in order without malloc() */

struct profile {
    struct memory memory;
    struct arena arena;
    struct table strings, mappings, functions, locations, stacks, links, label_sets;
    struct sheets sheets;
    struct rows attributes[ATTRIBUTE_KINDS]; /* struct profile_label */
    struct profile_header header;
    profile_id overflow_stack;
    bool guards_resource;
    bool incomplete; /* something had no room since the last profile_add() */
    int error;
};

/* Remembers that something had no room, and that the sample being put together lacks it. */
static profile_id no_room(struct profile *p)
{
    p->error = -ENOMEM;
    p->incomplete = true;
    return 0;
}

static profile_id intern(struct profile *p, struct table *table, const void *row)
{
    if (p->incomplete)
        return 0; /* it would stand on something that is missing */
    profile_id id = table_intern(table, row, &p->arena, &p->memory);
    return id != 0 ? id : no_room(p);
}

/* Creation */

static bool init_tables(struct profile *p)
{
    for (size_t i = 0; i < ATTRIBUTE_KINDS; i++)
        p->attributes[i].row_size = sizeof(struct profile_label);
    struct memory *m = &p->memory;
    return table_init(&p->strings, &table_of_strings, m) &&
           table_init(&p->mappings, &table_of_mappings, m) &&
           table_init(&p->functions, &table_of_functions, m) &&
           table_init(&p->locations, &table_of_locations, m) &&
           table_init(&p->stacks, &table_of_stacks, m) &&
           table_init(&p->links, &table_of_links, m) &&
           table_init(&p->label_sets, &table_of_label_sets, m) && sheets_init(&p->sheets, m);
}

static profile_id make_overflow_stack(struct profile *p)
{
    const struct profile_line line = {
        .function = profile_function(
            p, &(struct profile_function){.name = profile_string(p, PROFILE_OVERFLOW)})};
    profile_id location =
        profile_location(p, &(struct profile_location){.line_count = 1, .lines = &line});
    return profile_stack(p, &location, 1);
}

struct profile *profile_new(struct budget *budget)
{
    struct memory memory = {.budget = budget};
    struct profile *p = memory_resize(&memory, NULL, 0, sizeof(*p));
    if (p == NULL)
        return NULL;
    *p = (struct profile){.memory = memory};
    if (init_tables(p))
        p->overflow_stack = make_overflow_stack(p);
    if (p->overflow_stack == 0) {
        profile_free(p);
        return NULL;
    }
    return p;
}

void profile_free(struct profile *p)
{
    if (p == NULL)
        return;
    struct table *const tables[] = {&p->strings, &p->mappings, &p->functions, &p->locations,
                                    &p->stacks,  &p->links,    &p->label_sets};
    for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
        table_free(tables[i], &p->memory);
    for (size_t i = 0; i < ATTRIBUTE_KINDS; i++)
        rows_free(&p->attributes[i], &p->memory);
    sheets_free(&p->sheets, &p->memory);
    arena_free(&p->arena, &p->memory);
    struct memory memory = p->memory;
    memory_release(&memory, p, sizeof(*p));
}

void profile_bound(struct profile *p, size_t bytes)
{
    p->memory.limit = bytes;
}

void profile_guard_resource(struct profile *p)
{
    p->guards_resource = true;
}

bool profile_guards_resource(const struct profile *p)
{
    return p->guards_resource;
}

int profile_error(const struct profile *p)
{
    return p->error;
}

size_t profile_memory(const struct profile *p)
{
    return p->memory.held;
}

/* Sheets and value columns */

int profile_add_sheet(struct profile *p)
{
    int status = sheets_add(&p->sheets, &p->memory);
    if (status == -ENOMEM)
        p->error = status;
    return status == 0 ? (int)p->sheets.count - 1 : status;
}

size_t profile_sheet_count(const struct profile *p)
{
    return p->sheets.count;
}

struct profile_period *profile_period(struct profile *p, size_t sheet)
{
    return &sheets_at(&p->sheets, sheet)->period;
}

const struct profile_period *profile_period_const(const struct profile *p, size_t sheet)
{
    return &sheets_at(&p->sheets, sheet)->period;
}

void profile_set_period(struct profile *p, size_t sheet, const char *type, const char *unit,
                        int64_t value)
{
    struct profile_period *period = profile_period(p, sheet);
    period->type.type = profile_string(p, type);
    period->type.unit = profile_string(p, unit);
    period->value = value;
}

int profile_add_value_type(struct profile *p, size_t sheet, const char *type, const char *unit)
{
    if (p->sheets.columns == PROFILE_MAX_VALUES)
        return -ENOSPC;
    struct profile_value_type added = {.type = profile_string(p, type),
                                       .unit = profile_string(p, unit)};
    int status = -ENOMEM;
    if ((added.type != 0 || *type == '\0') && (added.unit != 0 || *unit == '\0'))
        status = sheets_add_column(&p->sheets, sheet, added, &p->memory);
    if (status == -ENOMEM)
        p->error = status;
    return status;
}

size_t profile_value_count(const struct profile *p)
{
    return p->sheets.columns;
}

struct profile_value_type profile_value_type(const struct profile *p, size_t column)
{
    return column < p->sheets.columns ? p->sheets.column[column].type
                                      : (struct profile_value_type){0};
}

size_t profile_column_sheet(const struct profile *p, size_t column)
{
    return column < p->sheets.columns ? p->sheets.column[column].sheet : 0;
}

const char *profile_type(const struct profile *p, size_t column)
{
    return profile_text(p, profile_value_type(p, column).type);
}

const char *profile_unit(const struct profile *p, size_t column)
{
    return profile_text(p, profile_value_type(p, column).unit);
}

int profile_value_column(const struct profile *p, const char *type)
{
    for (size_t i = 0; i < p->sheets.columns; i++)
        if (strcmp(profile_type(p, i), type) == 0)
            return (int)i;
    return -1;
}

int profile_rescale(struct profile *p, size_t column, const char *unit, int64_t factor)
{
    profile_id name = profile_string(p, unit);
    if (name == 0)
        return -ENOMEM;
    p->sheets.column[column].type.unit = name;
    sheets_rescale(&p->sheets, column, factor);
    return 0;
}

/* Header and attributes */

struct profile_header *profile_header(struct profile *p)
{
    return &p->header;
}

const struct profile_header *profile_header_const(const struct profile *p)
{
    return &p->header;
}

static bool same_attribute(enum profile_attributes which, const struct profile_label *a,
                           const struct profile_label *b)
{
    return a->key == b->key && (which != PROFILE_COMMENTS || a->text == b->text);
}

static int set_attribute(struct profile *p, enum profile_attributes which,
                         const struct profile_label *attribute)
{
    struct rows *rows = &p->attributes[which];
    for (uint32_t i = 0; i < rows->count; i++) {
        struct profile_label *old = rows_at(rows, i);
        if (same_attribute(which, old, attribute)) {
            *old = *attribute;
            return 0;
        }
    }
    if (rows->count == PROFILE_MAX_ATTRIBUTES)
        return -ENOSPC;
    if (!rows_reserve(rows, &p->memory))
        return -ENOMEM;
    memcpy(rows_at(rows, rows->count++), attribute, sizeof(*attribute));
    return 0;
}

int profile_set_text(struct profile *p, enum profile_attributes which, const char *key,
                     const char *value)
{
    bool incomplete = p->incomplete; /* an attribute that is lost harms no sample */
    p->incomplete = false;
    struct profile_label attribute = {
        .key = which == PROFILE_COMMENTS ? 0 : profile_string(p, key),
        .text = profile_string(p, value),
    };
    int status = p->incomplete ? -ENOMEM : set_attribute(p, which, &attribute);
    if (status == -ENOMEM)
        p->error = status;
    p->incomplete = incomplete;
    return status;
}

int profile_set_number(struct profile *p, enum profile_attributes which, const char *key,
                       int64_t value)
{
    bool incomplete = p->incomplete;
    p->incomplete = false;
    struct profile_label attribute = {
        .key = profile_string(p, key), .number = value, .is_number = true};
    int status = p->incomplete ? -ENOMEM : set_attribute(p, which, &attribute);
    if (status == -ENOMEM)
        p->error = status;
    p->incomplete = incomplete;
    return status;
}

void profile_remove_attribute(struct profile *p, enum profile_attributes which, size_t index)
{
    struct rows *rows = &p->attributes[which];
    if (index >= rows->count)
        return;
    unsigned char *gone = rows_at(rows, (uint32_t)index);
    memmove(gone, gone + rows->row_size, (rows->count - index - 1) * rows->row_size);
    rows->count--;
}

size_t profile_attribute_count(const struct profile *p, enum profile_attributes which)
{
    return p->attributes[which].count;
}

const struct profile_label *profile_attribute(const struct profile *p,
                                              enum profile_attributes which, size_t index)
{
    return index < p->attributes[which].count ? rows_at(&p->attributes[which], (uint32_t)index)
                                              : NULL;
}

/* Interning */

profile_id profile_string(struct profile *p, const char *text)
{
    return profile_string_n(p, text, strlen(text));
}

profile_id profile_string_n(struct profile *p, const char *text, size_t length)
{
    if (length == 0)
        return 0;
    if (length >= UINT32_MAX)
        return no_room(p);
    return intern(p, &p->strings,
                  &(struct table_string){.text = text, .length = (uint32_t)length});
}

profile_id profile_mapping(struct profile *p, const struct profile_mapping *mapping)
{
    if (table_of_mappings.equal(mapping, &(struct profile_mapping){0}))
        return 0;
    return intern(p, &p->mappings, mapping);
}

profile_id profile_function(struct profile *p, const struct profile_function *function)
{
    if (table_of_functions.equal(function, &(struct profile_function){0}))
        return 0;
    return intern(p, &p->functions, function);
}

profile_id profile_location(struct profile *p, const struct profile_location *location)
{
    return intern(p, &p->locations, location);
}

/* Without a location that had no room. */
static bool is_whole(const profile_id *locations, size_t depth)
{
    for (size_t i = 0; i < depth; i++)
        if (locations[i] == 0)
            return false;
    return true;
}

profile_id profile_stack(struct profile *p, const profile_id *locations, size_t depth)
{
    if (depth == 0)
        return 0;
    if (depth >= UINT32_MAX || !is_whole(locations, depth))
        return no_room(p);
    return intern(p, &p->stacks,
                  &(struct profile_stack){.depth = (uint32_t)depth, .locations = locations});
}

profile_id profile_link(struct profile *p, const struct profile_link *link)
{
    if (table_of_links.equal(link, &(struct profile_link){0}))
        return 0;
    return intern(p, &p->links, link);
}

static uint32_t order_labels(const struct profile *p, const struct profile_label *labels,
                             size_t count, enum label_choice choice,
                             struct ordered_label *ordered, struct profile_label *set)
{
    for (size_t i = 0; i < count; i++)
        ordered[i] = (struct ordered_label){
            .label = &labels[i],
            .key = profile_text(p, labels[i].key),
            .text = choice == LABEL_VALUES ? profile_text(p, labels[i].text) : NULL,
        };
    return label_order(ordered, count, choice, set);
}

static profile_id intern_labels(struct profile *p, const struct profile_label *labels,
                                size_t count, enum label_choice choice)
{
    if (count == 0)
        return 0;
    if (count > UINT32_MAX / 64)
        return no_room(p);
    struct ordered_label few_ordered[LABELS_FEW], *ordered = few_ordered;
    struct profile_label few[LABELS_FEW], *set = few;
    if (count > LABELS_FEW) {
        ordered = malloc(count * sizeof(*ordered));
        set = malloc(count * sizeof(*set));
    }
    profile_id id = 0;
    if (ordered == NULL || set == NULL)
        no_room(p);
    else
        id = intern(p, &p->label_sets,
                    &(struct profile_label_set){
                        .count = order_labels(p, labels, count, choice, ordered, set),
                        .labels = set,
                    });
    if (count > LABELS_FEW) {
        free(ordered);
        free(set);
    }
    return id;
}

profile_id profile_labels(struct profile *p, const struct profile_label *labels, size_t count)
{
    return intern_labels(p, labels, count, LABEL_LAST);
}

profile_id profile_all_labels(struct profile *p, const struct profile_label *labels,
                              size_t count)
{
    return intern_labels(p, labels, count, LABEL_VALUES);
}

/* Samples */

int profile_clear_sheet(struct profile *p, size_t sheet)
{
    return sheet_clear(sheets_at(&p->sheets, sheet), &p->memory) ? 0 : -ENOMEM;
}

profile_id profile_overflow_stack(const struct profile *p)
{
    return p->overflow_stack;
}

/* What has no room, or stands on something that had none, is counted on "[overflow]". */
static int add_hashed(struct profile *p, struct sheet *sheet, const struct table_key *key,
                      uint32_t hash, const int64_t *values)
{
    bool complete = !p->incomplete;
    bool ordinary = key->stack != p->overflow_stack || key->link != 0 || key->labels != 0;
    p->incomplete = false;
    if (complete && ordinary) {
        if (sheet_add(sheet, key, hash, values, &p->arena, &p->memory))
            return 0;
        p->error = -ENOMEM;
    }
    sheet_overflow(sheet, values);
    return complete && !ordinary ? 0 : -ENOMEM;
}

int profile_add(struct profile *p, size_t sheet, profile_id stack, profile_id link,
                profile_id labels, const int64_t *values)
{
    const struct table_key key = {.stack = stack, .link = link, .labels = labels};
    return add_hashed(p, sheets_at(&p->sheets, sheet), &key, (uint32_t)table_of_keys.hash(&key),
                      values);
}

/* Each sheet that has columns of the row gets what is its own. */
static int share_out(struct profile *p, size_t column, const struct table_key *key,
                     uint32_t hash, const int64_t *row)
{
    const bool incomplete = p->incomplete;
    bool nothing = true;
    int status = 0;
    for (size_t i = 0; i < p->sheets.columns; i++)
        nothing &= row[i] == 0;
    for (size_t i = 0; i < p->sheets.count; i++) {
        int64_t values[PROFILE_MAX_VALUES];
        if (!sheets_take(&p->sheets, i, row, values) &&
            !(nothing && i == profile_column_sheet(p, column)))
            continue;
        p->incomplete = incomplete;
        if (add_hashed(p, sheets_at(&p->sheets, i), key, hash, values) != 0)
            status = -ENOMEM;
    }
    return status;
}

static int add_row(struct profile *p, size_t column, const struct table_key *key, uint32_t hash,
                   const int64_t *row)
{
    return p->sheets.count == 1 ? add_hashed(p, &p->sheets.first, key, hash, row)
                                : share_out(p, column, key, hash, row);
}

int profile_add_row(struct profile *p, size_t column, profile_id stack, profile_id link,
                    profile_id labels, const int64_t *values)
{
    const struct table_key key = {.stack = stack, .link = link, .labels = labels};
    return add_row(p, column, &key, (uint32_t)table_of_keys.hash(&key), values);
}

void profile_stacks(struct profile *p, const struct profile_stack *stacks, size_t count,
                    profile_id *ids)
{
    uint32_t hashes[PROFILE_BATCH];
    table_fetch(&p->stacks, stacks, count, hashes);
    for (size_t i = 0; i < count; i++) {
        const struct profile_stack *stack = &stacks[i];
        ids[i] = 0;
        if (stack->depth == 0)
            continue;
        if (is_whole(stack->locations, stack->depth) && !p->incomplete)
            ids[i] = table_intern_hashed(&p->stacks, stack, hashes[i], &p->arena, &p->memory);
        if (ids[i] == 0)
            no_room(p);
    }
}

/* The stacks of a batch, each in the key of its sample. */
static void intern_stacks(struct profile *p, const struct profile_entry *entries, size_t count,
                          struct table_key *keys)
{
    struct profile_stack stacks[PROFILE_BATCH] = {{0}}; /* for compilers that doubt `count` */
    profile_id ids[PROFILE_BATCH];
    for (size_t i = 0; i < count; i++)
        stacks[i] = entries[i].stack;
    profile_stacks(p, stacks, count, ids);
    for (size_t i = 0; i < count; i++)
        keys[i] = (struct table_key){
            .stack = ids[i], .link = entries[i].link, .labels = entries[i].labels};
}

static int add_batch(struct profile *p, size_t column, const struct profile_entry *entries,
                     size_t count)
{
    struct table_key keys[PROFILE_BATCH];
    uint32_t hashes[PROFILE_BATCH];
    int status = 0;
    intern_stacks(p, entries, count, keys);
    const bool incomplete = p->incomplete;
    table_fetch(&sheets_at(&p->sheets, profile_column_sheet(p, column))->keys, keys, count,
                hashes);
    for (size_t i = 0; i < count; i++) {
        p->incomplete = incomplete; /* of all of them */
        if (add_row(p, column, &keys[i], hashes[i], entries[i].values) != 0)
            status = -ENOMEM;
    }
    return status;
}

int profile_add_entries(struct profile *p, size_t column, const struct profile_entry *entries,
                        size_t count)
{
    int status = 0;
    for (size_t i = 0; i < count; i += PROFILE_BATCH) {
        size_t part = count - i < PROFILE_BATCH ? count - i : PROFILE_BATCH;
        if (add_batch(p, column, entries + i, part) != 0)
            status = -ENOMEM;
    }
    return status;
}

/* Reading */

size_t profile_string_count(const struct profile *p)
{
    return p->strings.rows.count;
}

size_t profile_mapping_count(const struct profile *p)
{
    return p->mappings.rows.count;
}

size_t profile_function_count(const struct profile *p)
{
    return p->functions.rows.count;
}

size_t profile_location_count(const struct profile *p)
{
    return p->locations.rows.count;
}

size_t profile_stack_count(const struct profile *p)
{
    return p->stacks.rows.count;
}

size_t profile_link_count(const struct profile *p)
{
    return p->links.rows.count;
}

size_t profile_label_set_count(const struct profile *p)
{
    return p->label_sets.rows.count;
}

size_t profile_sample_count(const struct profile *p)
{
    return sheets_sample_count(&p->sheets);
}

const char *profile_text(const struct profile *p, profile_id id)
{
    const struct table_string *s = table_at(&p->strings, id);
    return s->text != NULL ? s->text : "";
}

size_t profile_text_length(const struct profile *p, profile_id id)
{
    return ((const struct table_string *)table_at(&p->strings, id))->length;
}

const struct profile_mapping *profile_get_mapping(const struct profile *p, profile_id id)
{
    return table_at(&p->mappings, id);
}

const struct profile_function *profile_get_function(const struct profile *p, profile_id id)
{
    return table_at(&p->functions, id);
}

const struct profile_location *profile_get_location(const struct profile *p, profile_id id)
{
    return table_at(&p->locations, id);
}

struct profile_stack profile_get_stack(const struct profile *p, profile_id id)
{
    return *(const struct profile_stack *)table_at(&p->stacks, id);
}

const struct profile_link *profile_get_link(const struct profile *p, profile_id id)
{
    return table_at(&p->links, id);
}

struct profile_label_set profile_get_labels(const struct profile *p, profile_id id)
{
    return *(const struct profile_label_set *)table_at(&p->label_sets, id);
}

struct profile_sample profile_get_sample(const struct profile *p, size_t index)
{
    const size_t number = sheets_find(&p->sheets, &index);
    const struct sheet *sheet = sheets_at(&p->sheets, number);
    struct profile_sample sample = {
        .stack = p->overflow_stack, .sheet = (uint32_t)number, .values = sheet->overflow};
    if (index < sheet->values.count) {
        const struct table_key *key = table_at(&sheet->keys, (uint32_t)index + 1);
        sample.stack = key->stack;
        sample.link = key->link;
        sample.labels = key->labels;
        sample.values = rows_at(&sheet->values, (uint32_t)index);
    }
    return sample;
}

size_t profile_first_sample(const struct profile *p, size_t sheet)
{
    size_t first = 0;
    for (size_t i = 0; i < sheet; i++)
        first += sheet_count(sheets_at(&p->sheets, i));
    return first;
}

int64_t profile_value(const struct profile *p, const struct profile_sample *sample,
                      size_t column)
{
    const struct sheet_column *of = &p->sheets.column[column];
    return of->sheet == sample->sheet ? sample->values[of->place] : 0;
}

/* The values of the same stack, link and labels in a sheet; NULL: it has no such sample. */
static const int64_t *find_equal(const struct profile *p, const struct sheet *sheet,
                                 const struct profile_sample *sample)
{
    const struct table_key key = {sample->stack, sample->link, sample->labels};
    if (key.stack == p->overflow_stack && key.link == 0 && key.labels == 0)
        return sheet->overflowed ? sheet->overflow : NULL;
    uint32_t row = table_find(&sheet->keys, &key);
    return row != 0 ? rows_at(&sheet->values, row - 1) : NULL;
}

bool profile_get_row(const struct profile *p, size_t index, struct profile_sample *sample,
                     int64_t values[PROFILE_MAX_VALUES])
{
    const int64_t *of_sheet[PROFILE_SHEETS_MAX];
    *sample = profile_get_sample(p, index);
    if (p->sheets.count == 1) {
        memcpy(values, sample->values, p->sheets.columns * sizeof(*values));
        return true;
    }
    of_sheet[sample->sheet] = sample->values;
    for (size_t i = 0; i < p->sheets.count; i++) {
        if (i != sample->sheet)
            of_sheet[i] = find_equal(p, sheets_at(&p->sheets, i), sample);
        if (i < sample->sheet && of_sheet[i] != NULL)
            return false;
    }
    for (size_t i = 0; i < p->sheets.columns; i++) {
        const struct sheet_column *of = &p->sheets.column[i];
        values[i] = of_sheet[of->sheet] != NULL ? of_sheet[of->sheet][of->place] : 0;
    }
    return true;
}

static void keep_larger(size_t *largest, size_t value)
{
    if (value > *largest)
        *largest = value;
}

struct profile_extent profile_extent(const struct profile *p)
{
    struct profile_extent extent = {0};
    for (profile_id i = 0; i < p->stacks.rows.count; i++)
        keep_larger(&extent.depth, profile_get_stack(p, i).depth);
    for (profile_id i = 0; i < p->locations.rows.count; i++)
        keep_larger(&extent.lines, profile_get_location(p, i)->line_count);
    for (profile_id i = 0; i < p->label_sets.rows.count; i++)
        keep_larger(&extent.labels, profile_get_labels(p, i).count);
    return extent;
}

const char *profile_label_text(const struct profile *p, profile_id labels, const char *key)
{
    struct profile_label_set set = profile_get_labels(p, labels);
    for (uint32_t i = 0; i < set.count; i++)
        if (!set.labels[i].is_number && strcmp(profile_text(p, set.labels[i].key), key) == 0)
            return profile_text(p, set.labels[i].text);
    return NULL;
}
