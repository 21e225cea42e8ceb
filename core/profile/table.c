#include "profile/table.h"

#include <string.h>

#include "base/hash.h"

/* string */

static uint64_t string_hash(const void *row)
{
    const struct table_string *s = row;
    return hash_bytes(s->text, s->length);
}

static bool string_equal(const void *a, const void *b)
{
    const struct table_string *x = a, *y = b;
    return x->length == y->length && memcmp(x->text, y->text, x->length) == 0;
}

static bool string_own(void *row, struct arena *arena, struct memory *memory)
{
    struct table_string *s = row;
    char *text = arena_take(arena, memory, (size_t)s->length + 1, 1);
    if (text == NULL)
        return false;
    memcpy(text, s->text, s->length);
    text[s->length] = '\0';
    s->text = text;
    return true;
}

const struct table_kind table_of_strings = {
    .row_size = sizeof(struct table_string),
    .hash = string_hash,
    .equal = string_equal,
    .own = string_own,
};

/* mapping */

static uint64_t mapping_hash(const void *row)
{
    const struct profile_mapping *m = row;
    uint64_t h = hash_combine(m->start, m->limit);
    h = hash_combine(h, m->file_offset);
    h = hash_combine(h, (uint64_t)m->filename << 32 | m->build_id);
    return hash_combine(h, (uint64_t)m->htlhash << 32 | m->symbols);
}

static bool mapping_equal(const void *a, const void *b)
{
    const struct profile_mapping *x = a, *y = b;
    return x->start == y->start && x->limit == y->limit && x->file_offset == y->file_offset &&
           x->filename == y->filename && x->build_id == y->build_id &&
           x->htlhash == y->htlhash && x->symbols == y->symbols;
}

const struct table_kind table_of_mappings = {
    .row_size = sizeof(struct profile_mapping),
    .hash = mapping_hash,
    .equal = mapping_equal,
};

/* function */

static uint64_t function_hash(const void *row)
{
    const struct profile_function *f = row;
    uint64_t h = hash_combine((uint64_t)f->name << 32 | f->system_name, f->filename);
    return hash_combine(h, (uint64_t)f->start_line);
}

static bool function_equal(const void *a, const void *b)
{
    const struct profile_function *x = a, *y = b;
    return x->name == y->name && x->system_name == y->system_name &&
           x->filename == y->filename && x->start_line == y->start_line;
}

const struct table_kind table_of_functions = {
    .row_size = sizeof(struct profile_function),
    .hash = function_hash,
    .equal = function_equal,
};

/* location */

static uint64_t location_hash(const void *row)
{
    const struct profile_location *l = row;
    uint64_t h = hash_combine(l->address, (uint64_t)l->mapping << 32 | l->line_count);
    h = hash_combine(h, (uint64_t)l->other_type << 32 | (uint64_t)l->type << 1 | l->folded);
    for (uint32_t i = 0; i < l->line_count; i++) {
        h = hash_combine(h, (uint64_t)l->lines[i].line);
        h = hash_combine(h, hash_u64((uint64_t)l->lines[i].column) ^ l->lines[i].function);
    }
    return h;
}

static bool location_equal(const void *a, const void *b)
{
    const struct profile_location *x = a, *y = b;
    if (x->address != y->address || x->mapping != y->mapping || x->type != y->type ||
        x->other_type != y->other_type || x->folded != y->folded ||
        x->line_count != y->line_count)
        return false;
    for (uint32_t i = 0; i < x->line_count; i++)
        if (x->lines[i].function != y->lines[i].function ||
            x->lines[i].line != y->lines[i].line || x->lines[i].column != y->lines[i].column)
            return false;
    return true;
}

/* Copies an array into the arena; none stays none. */
static bool own_array(const void **array, size_t count, size_t size, struct arena *arena,
                      struct memory *memory)
{
    void *copy = NULL;
    if (count != 0) {
        copy = arena_take(arena, memory, count * size, 8);
        if (copy == NULL)
            return false;
        memcpy(copy, *array, count * size);
    }
    *array = copy;
    return true;
}

static bool location_own(void *row, struct arena *arena, struct memory *memory)
{
    struct profile_location *l = row;
    const void *lines = l->lines;
    bool owned = own_array(&lines, l->line_count, sizeof(*l->lines), arena, memory);
    l->lines = lines;
    return owned;
}

const struct table_kind table_of_locations = {
    .row_size = sizeof(struct profile_location),
    .hash = location_hash,
    .equal = location_equal,
    .own = location_own,
};

/* stack */

static uint64_t stack_hash(const void *row)
{
    const struct profile_stack *s = row;
    return hash_bytes(s->locations, s->depth * sizeof(*s->locations));
}

static bool stack_equal(const void *a, const void *b)
{
    const struct profile_stack *x = a, *y = b;
    return x->depth == y->depth &&
           memcmp(x->locations, y->locations, x->depth * sizeof(*x->locations)) == 0;
}

static bool stack_own(void *row, struct arena *arena, struct memory *memory)
{
    struct profile_stack *s = row;
    const void *locations = s->locations;
    bool owned = own_array(&locations, s->depth, sizeof(*s->locations), arena, memory);
    s->locations = locations;
    return owned;
}

const struct table_kind table_of_stacks = {
    .row_size = sizeof(struct profile_stack),
    .hash = stack_hash,
    .equal = stack_equal,
    .own = stack_own,
};

/* link */

static uint64_t link_hash(const void *row)
{
    return hash_bytes(row, sizeof(struct profile_link));
}

static bool link_equal(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct profile_link)) == 0;
}

const struct table_kind table_of_links = {
    .row_size = sizeof(struct profile_link),
    .hash = link_hash,
    .equal = link_equal,
};

/* label, and set of labels */

static uint64_t label_hash(const void *row)
{
    const struct profile_label *l = row;
    uint64_t h = hash_combine((uint64_t)l->key << 32 | l->text, (uint64_t)l->number);
    return hash_combine(h, (uint64_t)l->unit << 1 | l->is_number);
}

static bool label_equal(const void *a, const void *b)
{
    const struct profile_label *x = a, *y = b;
    return x->key == y->key && x->text == y->text && x->number == y->number &&
           x->unit == y->unit && x->is_number == y->is_number;
}

const struct table_kind table_of_labels = {
    .row_size = sizeof(struct profile_label),
    .hash = label_hash,
    .equal = label_equal,
};

static uint64_t label_set_hash(const void *row)
{
    const struct profile_label_set *set = row;
    uint64_t h = set->count;
    for (uint32_t i = 0; i < set->count; i++)
        h = hash_combine(h, label_hash(&set->labels[i]));
    return h;
}

static bool label_set_equal(const void *a, const void *b)
{
    const struct profile_label_set *x = a, *y = b;
    if (x->count != y->count)
        return false;
    for (uint32_t i = 0; i < x->count; i++)
        if (!label_equal(&x->labels[i], &y->labels[i]))
            return false;
    return true;
}

static bool label_set_own(void *row, struct arena *arena, struct memory *memory)
{
    struct profile_label_set *set = row;
    const void *labels = set->labels;
    bool owned = own_array(&labels, set->count, sizeof(*set->labels), arena, memory);
    set->labels = labels;
    return owned;
}

const struct table_kind table_of_label_sets = {
    .row_size = sizeof(struct profile_label_set),
    .hash = label_set_hash,
    .equal = label_set_equal,
    .own = label_set_own,
};

/* sample key */

static uint64_t key_hash(const void *row)
{
    const struct table_key *k = row;
    return hash_combine((uint64_t)k->stack << 32 | k->link, k->labels);
}

static bool key_equal(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct table_key)) == 0;
}

const struct table_kind table_of_keys = {
    .row_size = sizeof(struct table_key),
    .hash = key_hash,
    .equal = key_equal,
};

/* the table */

bool table_init(struct table *table, const struct table_kind *kind, struct memory *memory)
{
    *table = (struct table){.kind = kind, .rows.row_size = kind->row_size};
    if (!rows_reserve(&table->rows, memory))
        return false;
    memset(rows_at(&table->rows, 0), 0, kind->row_size);
    table->rows.count = 1;
    return true;
}

void table_free(struct table *table, struct memory *memory)
{
    rows_free(&table->rows, memory);
    index_free(&table->index, memory);
}

static uint32_t find(const struct table *table, const void *row, uint32_t hash)
{
    uint32_t step = 0, number;
    while ((number = index_next(&table->index, hash, &step)) != 0)
        if (table->kind->equal(rows_at(&table->rows, number), row))
            break;
    return number;
}

uint32_t table_find(const struct table *table, const void *row)
{
    return find(table, row, (uint32_t)table->kind->hash(row));
}

uint32_t table_intern(struct table *table, const void *row, struct arena *arena,
                      struct memory *memory)
{
    return table_intern_hashed(table, row, (uint32_t)table->kind->hash(row), arena, memory);
}

void table_fetch(const struct table *table, const void *rows, size_t count, uint32_t *hashes)
{
    const unsigned char *row = rows;
    for (size_t i = 0; i < count; i++, row += table->kind->row_size) {
        hashes[i] = (uint32_t)table->kind->hash(row);
        index_fetch(&table->index, hashes[i]);
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t step = 0;
        __builtin_prefetch(table_at(table, index_next(&table->index, hashes[i], &step)));
    }
}

/* Kept out of line: most rows are there already. */
static __attribute__((noinline)) uint32_t append(struct table *table, const void *row,
                                                 uint32_t hash, struct arena *arena,
                                                 struct memory *memory)
{
    const struct table_kind *kind = table->kind;
    if (!rows_reserve(&table->rows, memory) || !index_reserve(&table->index, memory))
        return 0;
    void *own = rows_at(&table->rows, table->rows.count);
    memcpy(own, row, kind->row_size);
    if (kind->own != NULL && !kind->own(own, arena, memory))
        return 0;
    index_put(&table->index, hash, table->rows.count);
    return table->rows.count++;
}

uint32_t table_intern_hashed(struct table *table, const void *row, uint32_t hash,
                             struct arena *arena, struct memory *memory)
{
    uint32_t number = find(table, row, hash);
    return number != 0 ? number : append(table, row, hash, arena, memory);
}
