#include "profile/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "profile/clamp.h"
#include "profile/table.h"

#define ATTRIBUTE_KINDS (PROFILE_COMMENTS + 1)
#define LABELS_FEW 16 /* sets up to this size are put in order without malloc() */

struct profile {
    struct memory memory;
    struct arena arena;
    struct table strings, mappings, functions, locations, stacks, links, label_sets;
    struct table keys;  /* one row a sample, after row 0 */
    struct rows values; /* value_count numbers a row; row i belongs to key i + 1 */
    struct rows attributes[ATTRIBUTE_KINDS]; /* struct profile_label */
    struct profile_value_type value_types[PROFILE_MAX_VALUES];
    size_t value_count;
    struct profile_header header;
    profile_id overflow_stack;
    int64_t overflow[PROFILE_MAX_VALUES]; /* the sample "[overflow]", kept apart: no table */
    bool overflowed;                      /* it exists: reads as the last sample */
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
    p->values.row_size = sizeof(int64_t); /* until the first value type says more */
    for (size_t i = 0; i < ATTRIBUTE_KINDS; i++)
        p->attributes[i].row_size = sizeof(struct profile_label);
    struct memory *m = &p->memory;
    return table_init(&p->strings, &table_of_strings, m) &&
           table_init(&p->mappings, &table_of_mappings, m) &&
           table_init(&p->functions, &table_of_functions, m) &&
           table_init(&p->locations, &table_of_locations, m) &&
           table_init(&p->stacks, &table_of_stacks, m) &&
           table_init(&p->links, &table_of_links, m) &&
           table_init(&p->label_sets, &table_of_label_sets, m) &&
           table_init(&p->keys, &table_of_keys, m);
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
    struct table *const tables[] = {&p->strings, &p->mappings, &p->functions,  &p->locations,
                                    &p->stacks,  &p->links,    &p->label_sets, &p->keys};
    for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
        table_free(tables[i], &p->memory);
    for (size_t i = 0; i < ATTRIBUTE_KINDS; i++)
        rows_free(&p->attributes[i], &p->memory);
    rows_free(&p->values, &p->memory);
    arena_free(&p->arena, &p->memory);
    struct memory memory = p->memory;
    memory_release(&memory, p, sizeof(*p));
}

void profile_bound(struct profile *p, size_t bytes)
{
    p->memory.limit = bytes;
}

int profile_error(const struct profile *p)
{
    return p->error;
}

size_t profile_memory(const struct profile *p)
{
    return p->memory.held;
}

/* Value columns */

/* Spreads the values of the samples so far over rows of one more column. */
static bool widen_values(struct profile *p)
{
    struct rows wide = {.row_size = (p->value_count + 1) * sizeof(int64_t)};
    for (uint32_t i = 0; i < p->values.count; i++) {
        if (!rows_reserve(&wide, &p->memory)) {
            rows_free(&wide, &p->memory);
            return false;
        }
        memset(rows_at(&wide, i), 0, wide.row_size);
        memcpy(rows_at(&wide, i), rows_at(&p->values, i), p->value_count * sizeof(int64_t));
        wide.count++;
    }
    rows_free(&p->values, &p->memory);
    p->values = wide;
    return true;
}

int profile_add_value_type(struct profile *p, const char *type, const char *unit)
{
    if (p->value_count == PROFILE_MAX_VALUES)
        return -ENOSPC;
    struct profile_value_type added = {.type = profile_string(p, type),
                                       .unit = profile_string(p, unit)};
    for (size_t i = 0; i < p->value_count; i++)
        if (p->value_types[i].type == added.type && p->value_types[i].unit == added.unit)
            return -EEXIST;
    if ((added.type == 0 && *type != '\0') || (added.unit == 0 && *unit != '\0') ||
        !widen_values(p)) {
        p->error = -ENOMEM;
        return -ENOMEM;
    }
    p->value_types[p->value_count++] = added;
    return 0;
}

size_t profile_value_count(const struct profile *p)
{
    return p->value_count;
}

struct profile_value_type profile_value_type(const struct profile *p, size_t column)
{
    return column < p->value_count ? p->value_types[column] : (struct profile_value_type){0};
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
    for (size_t i = 0; i < p->value_count; i++)
        if (strcmp(profile_type(p, i), type) == 0)
            return (int)i;
    return -1;
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

/* A string of one profile, in another. */
static profile_id copy_string(struct profile *p, const struct profile *from, profile_id id)
{
    return profile_string_n(p, profile_text(from, id), profile_text_length(from, id));
}

void profile_adopt_header(struct profile *p, const struct profile *model)
{
    struct profile_header h = model->header;
    profile_id *const strings[] = {
        &h.period_type.type, &h.period_type.unit, &h.default_type, &h.doc_url,
        &h.drop_frames,      &h.keep_frames,      &h.scope_name,   &h.scope_version,
    };
    for (size_t i = 0; i < sizeof(strings) / sizeof(*strings); i++)
        *strings[i] = copy_string(p, model, *strings[i]);
    p->header = h;
}

static void adopt_attributes(struct profile *p, const struct profile *model,
                             enum profile_attributes which)
{
    for (size_t i = 0; i < model->attributes[which].count; i++) {
        struct profile_label copy = *profile_attribute(model, which, i);
        copy.key = copy_string(p, model, copy.key);
        copy.text = copy_string(p, model, copy.text);
        copy.unit = copy_string(p, model, copy.unit);
        if (set_attribute(p, which, &copy) != 0)
            p->error = -ENOMEM;
    }
}

int profile_adopt(struct profile *p, const struct profile *model)
{
    for (size_t i = 0; i < model->value_count; i++)
        if (profile_add_value_type(p, profile_text(model, model->value_types[i].type),
                                   profile_text(model, model->value_types[i].unit)) != 0)
            return -ENOMEM;
    profile_adopt_header(p, model);
    for (enum profile_attributes which = 0; which < ATTRIBUTE_KINDS; which++)
        adopt_attributes(p, model, which);
    return p->error;
}

struct profile *profile_new_like(const struct profile *model, struct budget *budget)
{
    struct profile *p = profile_new(budget);
    if (p != NULL && profile_adopt(p, model) != 0) {
        profile_free(p);
        return NULL;
    }
    return p;
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

/* A label on its way into a set. */
struct ordered_label {
    const struct profile_label *label; /* of the caller's array: of equal keys the last wins */
    const char *key;
};

static int compare_labels(const void *a, const void *b)
{
    const struct ordered_label *x = a, *y = b;
    int order = x->label->key == y->label->key ? 0 : strcmp(x->key, y->key);
    if (order == 0) /* the same, or different only behind a NUL */
        order = (x->label->key > y->label->key) - (x->label->key < y->label->key);
    return order != 0 ? order : (x->label > y->label) - (x->label < y->label);
}

/* Sorts by key and keeps one of each; returns how many are in `set`. */
static uint32_t order_labels(const struct profile *p, const struct profile_label *labels,
                             size_t count, struct ordered_label *ordered,
                             struct profile_label *set)
{
    for (size_t i = 0; i < count; i++)
        ordered[i] = (struct ordered_label){&labels[i], profile_text(p, labels[i].key)};
    qsort(ordered, count, sizeof(*ordered), compare_labels);
    uint32_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (i + 1 == count || ordered[i + 1].label->key != ordered[i].label->key)
            set[kept++] = *ordered[i].label;
    return kept;
}

profile_id profile_labels(struct profile *p, const struct profile_label *labels, size_t count)
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
                        .count = order_labels(p, labels, count, ordered, set),
                        .labels = set,
                    });
    if (count > LABELS_FEW) {
        free(ordered);
        free(set);
    }
    return id;
}

/* Samples */

static void add_values(struct profile *p, int64_t *to, const int64_t *values)
{
    for (size_t i = 0; i < p->value_count; i++)
        to[i] = clamp_add(to[i], values[i]);
}

/* The values of a sample, zeros if it is new; NULL: no room. */
static int64_t *sample_values(struct profile *p, const struct table_key *key, uint32_t hash)
{
    if (!rows_reserve(&p->values, &p->memory))
        return NULL;
    uint32_t row = table_intern_hashed(&p->keys, key, hash, &p->arena, &p->memory);
    if (row == 0)
        return NULL;
    if (row > p->values.count)
        memset(rows_at(&p->values, p->values.count++), 0, p->values.row_size);
    return rows_at(&p->values, row - 1);
}

static void add_overflow(struct profile *p, const int64_t *values)
{
    add_values(p, p->overflow, values);
    p->overflowed = true;
}

static int add_hashed(struct profile *p, const struct table_key *key, uint32_t hash,
                      const int64_t *values)
{
    bool complete = !p->incomplete;
    bool ordinary = key->stack != p->overflow_stack || key->link != 0 || key->labels != 0;
    int64_t *to = NULL;
    if (complete && ordinary) {
        to = sample_values(p, key, hash);
        if (to == NULL)
            p->error = -ENOMEM;
    }
    p->incomplete = false;
    if (to != NULL) {
        add_values(p, to, values);
        return 0;
    }
    add_overflow(p, values);
    return complete && !ordinary ? 0 : -ENOMEM;
}

int profile_add(struct profile *p, profile_id stack, profile_id link, profile_id labels,
                const int64_t *values)
{
    const struct table_key key = {.stack = stack, .link = link, .labels = labels};
    return add_hashed(p, &key, (uint32_t)table_of_keys.hash(&key), values);
}

/* The stacks of a batch, each in the key of its sample. */
static void intern_stacks(struct profile *p, const struct profile_entry *entries, size_t count,
                          struct table_key *keys)
{
    struct profile_stack stacks[PROFILE_BATCH] = {{0}}; /* for compilers that doubt `count` */
    uint32_t hashes[PROFILE_BATCH];
    for (size_t i = 0; i < count; i++)
        stacks[i] = entries[i].stack;
    table_fetch(&p->stacks, stacks, count, hashes);
    for (size_t i = 0; i < count; i++) {
        const struct profile_stack *stack = &stacks[i];
        keys[i] = (struct table_key){.link = entries[i].link, .labels = entries[i].labels};
        if (stack->depth == 0)
            continue;
        if (is_whole(stack->locations, stack->depth))
            keys[i].stack =
                table_intern_hashed(&p->stacks, stack, hashes[i], &p->arena, &p->memory);
        if (keys[i].stack == 0)
            no_room(p);
    }
}

static int add_batch(struct profile *p, const struct profile_entry *entries, size_t count)
{
    struct table_key keys[PROFILE_BATCH];
    uint32_t hashes[PROFILE_BATCH];
    int status = 0;
    intern_stacks(p, entries, count, keys);
    if (p->incomplete) {
        for (size_t i = 0; i < count; i++)
            add_overflow(p, entries[i].values);
        p->incomplete = false;
        return -ENOMEM;
    }
    table_fetch(&p->keys, keys, count, hashes);
    for (size_t i = 0; i < count; i++)
        if (add_hashed(p, &keys[i], hashes[i], entries[i].values) != 0)
            status = -ENOMEM;
    return status;
}

int profile_add_entries(struct profile *p, const struct profile_entry *entries, size_t count)
{
    int status = 0;
    for (size_t i = 0; i < count; i += PROFILE_BATCH) {
        size_t part = count - i < PROFILE_BATCH ? count - i : PROFILE_BATCH;
        if (add_batch(p, entries + i, part) != 0)
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
    return (size_t)p->values.count + (p->overflowed ? 1 : 0);
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
    if (index >= p->values.count)
        return (struct profile_sample){.stack = p->overflow_stack, .values = p->overflow};
    const struct table_key *key = table_at(&p->keys, (uint32_t)index + 1);
    return (struct profile_sample){
        .stack = key->stack,
        .link = key->link,
        .labels = key->labels,
        .values = rows_at(&p->values, (uint32_t)index),
    };
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
