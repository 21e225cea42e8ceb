/* profile_compact(): ranks every table by content, so that the order of what comes out does
 * not depend on the order in which the ids of the source were given. */
#include "profile/combine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "profile/carry.h"

struct ranks {
    const struct profile *p;
    /* The place of each row among its table's rows, sorted by content. */
    uint32_t *strings, *mappings, *functions, *locations, *stacks, *links, *label_sets;
    enum profile_attributes which; /* whose order is asked for */
};

/* Three-way comparisons that can be chained: the first difference decides. */
static int order_u64(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int order_i64(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

#define DECIDE(order)                                                                          \
    do {                                                                                       \
        int decided = (order);                                                                 \
        if (decided != 0)                                                                      \
            return decided;                                                                    \
    } while (0)

static int order_strings(const struct ranks *r, uint32_t a, uint32_t b)
{
    size_t x = profile_text_length(r->p, a), y = profile_text_length(r->p, b);
    DECIDE(memcmp(profile_text(r->p, a), profile_text(r->p, b), x < y ? x : y));
    return order_u64(x, y);
}

static int order_mappings(const struct ranks *r, uint32_t a, uint32_t b)
{
    const struct profile_mapping *x = profile_get_mapping(r->p, a);
    const struct profile_mapping *y = profile_get_mapping(r->p, b);
    DECIDE(order_u64(x->start, y->start));
    DECIDE(order_u64(x->limit, y->limit));
    DECIDE(order_u64(x->file_offset, y->file_offset));
    DECIDE(order_u64(r->strings[x->filename], r->strings[y->filename]));
    DECIDE(order_u64(r->strings[x->build_id], r->strings[y->build_id]));
    DECIDE(order_u64(r->strings[x->htlhash], r->strings[y->htlhash]));
    return order_u64(x->symbols, y->symbols);
}

static int order_functions(const struct ranks *r, uint32_t a, uint32_t b)
{
    const struct profile_function *x = profile_get_function(r->p, a);
    const struct profile_function *y = profile_get_function(r->p, b);
    DECIDE(order_u64(r->strings[x->name], r->strings[y->name]));
    DECIDE(order_u64(r->strings[x->system_name], r->strings[y->system_name]));
    DECIDE(order_u64(r->strings[x->filename], r->strings[y->filename]));
    return order_i64(x->start_line, y->start_line);
}

static int order_locations(const struct ranks *r, uint32_t a, uint32_t b)
{
    const struct profile_location *x = profile_get_location(r->p, a);
    const struct profile_location *y = profile_get_location(r->p, b);
    DECIDE(order_u64(r->mappings[x->mapping], r->mappings[y->mapping]));
    DECIDE(order_u64(x->address, y->address));
    DECIDE(order_u64(x->type, y->type));
    DECIDE(order_u64(r->strings[x->other_type], r->strings[y->other_type]));
    DECIDE(order_u64(x->folded, y->folded));
    DECIDE(order_u64(x->line_count, y->line_count));
    for (uint32_t i = 0; i < x->line_count; i++) {
        DECIDE(
            order_u64(r->functions[x->lines[i].function], r->functions[y->lines[i].function]));
        DECIDE(order_i64(x->lines[i].line, y->lines[i].line));
        DECIDE(order_i64(x->lines[i].column, y->lines[i].column));
    }
    return 0;
}

static int order_stacks(const struct ranks *r, uint32_t a, uint32_t b)
{
    struct profile_stack x = profile_get_stack(r->p, a), y = profile_get_stack(r->p, b);
    DECIDE(order_u64(x.depth, y.depth));
    for (uint32_t i = 0; i < x.depth; i++)
        DECIDE(order_u64(r->locations[x.locations[i]], r->locations[y.locations[i]]));
    return 0;
}

static int order_links(const struct ranks *r, uint32_t a, uint32_t b)
{
    return memcmp(profile_get_link(r->p, a), profile_get_link(r->p, b),
                  sizeof(struct profile_link));
}

static int order_labels(const struct ranks *r, const struct profile_label *x,
                        const struct profile_label *y)
{
    DECIDE(order_u64(r->strings[x->key], r->strings[y->key]));
    DECIDE(order_u64(x->is_number, y->is_number));
    DECIDE(order_u64(r->strings[x->text], r->strings[y->text]));
    DECIDE(order_i64(x->number, y->number));
    return order_u64(r->strings[x->unit], r->strings[y->unit]);
}

static int order_label_sets(const struct ranks *r, uint32_t a, uint32_t b)
{
    struct profile_label_set x = profile_get_labels(r->p, a), y = profile_get_labels(r->p, b);
    DECIDE(order_u64(x.count, y.count));
    for (uint32_t i = 0; i < x.count; i++)
        DECIDE(order_labels(r, &x.labels[i], &y.labels[i]));
    return 0;
}

static int order_samples(const struct ranks *r, uint32_t a, uint32_t b)
{
    struct profile_sample x = profile_get_sample(r->p, a), y = profile_get_sample(r->p, b);
    DECIDE(order_u64(r->stacks[x.stack], r->stacks[y.stack]));
    DECIDE(order_u64(r->links[x.link], r->links[y.link]));
    return order_u64(r->label_sets[x.labels], r->label_sets[y.labels]);
}

static int order_columns(const struct ranks *r, uint32_t a, uint32_t b)
{
    struct profile_value_type x = profile_value_type(r->p, a), y = profile_value_type(r->p, b);
    DECIDE(order_u64(strcmp(profile_text(r->p, x.unit), "count") != 0,
                     strcmp(profile_text(r->p, y.unit), "count") != 0));
    DECIDE(order_u64(r->strings[x.type], r->strings[y.type]));
    return order_u64(r->strings[x.unit], r->strings[y.unit]);
}

struct sorting {
    const struct ranks *ranks;
    int (*order)(const struct ranks *ranks, uint32_t a, uint32_t b);
};

static int compare(const void *a, const void *b, void *closure)
{
    const struct sorting *sorting = closure;
    return sorting->order(sorting->ranks, *(const uint32_t *)a, *(const uint32_t *)b);
}

/* 0 … count - 1 in order; NULL: out of memory. */
static uint32_t *sorted(const struct ranks *r, size_t count,
                        int (*order)(const struct ranks *, uint32_t, uint32_t))
{
    uint32_t *rows = malloc((count + 1) * sizeof(*rows));
    if (rows == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        rows[i] = (uint32_t)i;
    qsort_r(rows, count, sizeof(*rows), compare, &(struct sorting){.ranks = r, .order = order});
    return rows;
}

static uint32_t *ranked(const struct ranks *r, size_t count,
                        int (*order)(const struct ranks *, uint32_t, uint32_t))
{
    uint32_t *rows = sorted(r, count, order);
    uint32_t *ranks = malloc(count * sizeof(*ranks));
    for (size_t i = 0; rows != NULL && ranks != NULL && i < count; i++)
        ranks[rows[i]] = (uint32_t)i;
    if (rows == NULL) {
        free(ranks);
        ranks = NULL;
    }
    free(rows);
    return ranks;
}

/* Each table's order stands on the ranks of those before it. */
static bool ranks_init(struct ranks *r, const struct profile *p)
{
    *r = (struct ranks){.p = p};
    return (r->strings = ranked(r, profile_string_count(p), order_strings)) != NULL &&
           (r->mappings = ranked(r, profile_mapping_count(p), order_mappings)) != NULL &&
           (r->functions = ranked(r, profile_function_count(p), order_functions)) != NULL &&
           (r->locations = ranked(r, profile_location_count(p), order_locations)) != NULL &&
           (r->stacks = ranked(r, profile_stack_count(p), order_stacks)) != NULL &&
           (r->links = ranked(r, profile_link_count(p), order_links)) != NULL &&
           (r->label_sets = ranked(r, profile_label_set_count(p), order_label_sets)) != NULL;
}

static void ranks_free(struct ranks *r)
{
    free(r->strings);
    free(r->mappings);
    free(r->functions);
    free(r->locations);
    free(r->stacks);
    free(r->links);
    free(r->label_sets);
}

static int order_attributes(const struct ranks *r, uint32_t a, uint32_t b)
{
    return order_labels(r, profile_attribute(r->p, r->which, a),
                        profile_attribute(r->p, r->which, b));
}

/* The sheet that takes those of `from`: they stand in the order of their first columns. */
static int sheet_of(struct profile *to, int sheets[PROFILE_SHEETS_MAX], size_t from)
{
    bool first = true;
    for (size_t i = 0; i < PROFILE_SHEETS_MAX; i++)
        first = first && sheets[i] < 0;
    if (sheets[from] < 0)
        sheets[from] = first ? 0 : profile_add_sheet(to);
    return sheets[from];
}

static int copy_columns(struct carrier *c, const struct ranks *r)
{
    int sheets[PROFILE_SHEETS_MAX];
    size_t count = profile_value_count(c->from);
    uint32_t *columns = sorted(r, count, order_columns);
    int status = columns != NULL ? 0 : -ENOMEM;
    memset(sheets, -1, sizeof(sheets));
    for (size_t i = 0; status == 0 && i < count; i++) {
        int sheet = sheet_of(c->to, sheets, profile_column_sheet(c->from, columns[i]));
        c->places[columns[i]].column = i;
        status = sheet < 0 ? sheet
                           : profile_add_value_type(c->to, (size_t)sheet,
                                                    profile_type(c->from, columns[i]),
                                                    profile_unit(c->from, columns[i]));
    }
    for (size_t i = 0; i < profile_sheet_count(c->from); i++)
        if (sheets[i] >= 0)
            profile_adopt_period(c->to, (size_t)sheets[i], c->from, i);
    free(columns);
    return status;
}

static int copy_attributes(struct carrier *c, struct ranks *r, enum profile_attributes which)
{
    r->which = which;
    size_t count = profile_attribute_count(c->from, which);
    uint32_t *order = sorted(r, count, order_attributes);
    int status = order != NULL ? 0 : -ENOMEM;
    for (size_t i = 0; status == 0 && i < count; i++) {
        const struct profile_label *label = profile_attribute(c->from, which, order[i]);
        const char *key = profile_text(c->from, label->key);
        status = label->is_number
                     ? profile_set_number(c->to, which, key, label->number)
                     : profile_set_text(c->to, which, key, profile_text(c->from, label->text));
    }
    free(order);
    return status;
}

static int copy_samples(struct carrier *c, const struct ranks *r)
{
    size_t count = profile_sample_count(c->from);
    uint32_t *order = sorted(r, count, order_samples);
    int status = order != NULL ? 0 : -ENOMEM;
    for (size_t i = 0; status == 0 && i < count; i++) {
        struct profile_sample sample = profile_get_sample(c->from, order[i]);
        status = carry_sample(c, &sample);
    }
    free(order);
    return status;
}

static int copy_all(struct carrier *c, struct ranks *r)
{
    int status = copy_columns(c, r);
    profile_adopt_header(c->to, c->from);
    for (enum profile_attributes which = PROFILE_RESOURCE;
         status == 0 && which <= PROFILE_COMMENTS; which++)
        status = copy_attributes(c, r, which);
    if (status == 0)
        status = copy_samples(c, r);
    return status != 0 ? status : profile_error(c->to);
}

struct profile *profile_compact(const struct profile *source)
{
    struct profile *compact = profile_new(NULL);
    struct carrier c;
    if (compact == NULL || carrier_init(&c, compact, source) != 0) {
        profile_free(compact);
        return NULL;
    }
    struct ranks ranks;
    int status = ranks_init(&ranks, source) ? copy_all(&c, &ranks) : -ENOMEM;
    ranks_free(&ranks);
    carrier_free(&c);
    if (status == 0)
        return compact;
    profile_free(compact);
    return NULL;
}
