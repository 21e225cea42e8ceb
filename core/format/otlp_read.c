#include "format/otlp.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/frame_type.h"
#include "format/gzip.h"
#include "format/json_read.h"
#include "format/otlp_frames.h"
#include "format/otlp_json.h"
#include "format/otlp_version.h"
#include "format/refuse.h"
#include "format/row.h"
#include "format/wire.h"
#include "profile/clamp.h"
#include "profile/combine.h"
#include "profiles.pb-c.h"

/*
 * The resources of one input. An attribute that all of them have stands once in the profile;
 * what only some have, or not with the same value, would be lost so: each sample gets it as a
 * label.
 */
#define MOST_OWN 256 /* each of its samples has them */

#define MOST_LISTED 256              /* values of an attribute; longer lists are left out */
#define MOST_TIMES ((size_t)1 << 18) /* samples of a file that are kept apart by time */

struct resources {
    struct profile *interner; /* an attribute is a set of one label */
    uint32_t *had_by;         /* by that set: how many resources have it */
    uint32_t *last;           /* of those the last, so that each counts once */
    size_t room;
    uint32_t count; /* resources that have samples */
};

/* A row of the attribute table: a label, or several of one key. */
struct attribute {
    struct profile_label label;
    struct profile_label *more; /* owned; NULL: it is the one */
    size_t more_count;
};

struct reader {
    struct resources *resources;
    const Otlp__ResourceProfiles *resource; /* read last */
    struct profile_label *own;              /* what it has for itself */
    size_t own_count;
    const Otlp__ProfilesData *in;
    const Otlp__ProfilesDictionary *dictionary;
    struct profile *p; /* the sum */
    char *error;
    bool has_cpu;     /* a Profile gives cpu/nanoseconds itself */
    bool counts_time; /* the one at hand counts CPU time beside its samples */
    /* In the sum, for each column of the Profile's sheet; its own is at `at`. */
    struct profile_place places[PROFILE_MAX_VALUES];
    size_t at;
    const Otlp__ScopeProfiles *scope; /* of the Profile read last */
    const Otlp__Profile *last;
    const Otlp__Profile *first; /* of its sheet */
    size_t joined;              /* others since: each is compared with the first */
    /* By row of the dictionary's tables: */
    profile_id *strings, *mappings, *functions, *locations, *stacks, *links;
    struct attribute *attributes;
    struct row lists;
    size_t times; /* samples that are kept apart by time so far */
};

static int check(struct reader *r, int32_t index, size_t count, const char *what)
{
    if (index < 0 || (size_t)index >= count)
        return refuse(r->error, "index %d names a %s of %zu", index, what, count);
    return 0;
}

/* Strings and attributes */

static int read_string(struct reader *r, int32_t index, profile_id *id)
{
    *id = 0;
    TRY(check(r, index, r->dictionary->n_string_table, "string"));
    *id = r->strings[index];
    return 0;
}

static profile_id intern_text(struct reader *r, const ProtobufCBinaryData *text)
{
    return profile_string_n(r->p, (const char *)text->data, text->len);
}

/* Values as labels hold them: integers are numbers, all else is text. Lists and maps have no
 * place in a label: *id stays 0. */
static int read_value(struct reader *r, const Otlp__AnyValue *value,
                      struct profile_label *label)
{
    char text[32];
    if (value == NULL)
        return 0;
    switch (value->value_case) {
    case OTLP__ANY_VALUE__VALUE_STRING_VALUE:
        label->text = intern_text(r, &value->string_value);
        return 0;
    case OTLP__ANY_VALUE__VALUE_STRING_VALUE_STRINDEX:
        return read_string(r, value->string_value_strindex, &label->text);
    case OTLP__ANY_VALUE__VALUE_INT_VALUE:
        label->number = value->int_value;
        label->is_number = true;
        return 0;
    case OTLP__ANY_VALUE__VALUE_BOOL_VALUE:
        label->text = profile_string(r->p, value->bool_value ? "true" : "false");
        return 0;
    case OTLP__ANY_VALUE__VALUE_DOUBLE_VALUE:
        snprintf(text, sizeof(text), "%.17g", value->double_value);
        label->text = profile_string(r->p, text);
        return 0;
    default:
        return 0;
    }
}

static int read_strings(struct reader *r)
{
    for (size_t i = 0; i < r->dictionary->n_string_table; i++)
        r->strings[i] = intern_text(r, &r->dictionary->string_table[i]);
    return 0;
}

/* A list's values are labels of its key; lists and maps in it are left out. */
static int read_list_values(struct reader *r, const Otlp__ArrayValue *in, struct attribute *to)
{
    const size_t values = in->n_values <= MOST_LISTED ? in->n_values : 0;
    size_t count = 0;
    to->more = calloc(values + 1, sizeof(*to->more));
    if (to->more == NULL)
        return refuse_memory(r->error);
    for (size_t i = 0; i < values; i++) {
        struct profile_label *label = &to->more[count];
        *label = to->label;
        TRY(read_value(r, in->values[i], label));
        count += label->is_number || label->text != 0;
    }
    to->more_count = count;
    return 0;
}

static int read_list(struct reader *r, const ProtobufCBinaryData *list, struct attribute *to)
{
    struct wire_tree tree = {0};
    int status =
        wire_unpack(&tree, &otlp__array_value__descriptor, list->data, list->len, r->error);
    if (status == 0)
        status = read_list_values(r, (const Otlp__ArrayValue *)tree.message, to);
    wire_release(&tree);
    return status;
}

static int read_attributes(struct reader *r)
{
    for (size_t i = 0; i < r->dictionary->n_attribute_table; i++) {
        const Otlp__KeyValueAndUnit *in = r->dictionary->attribute_table[i];
        struct profile_label *label = &r->attributes[i].label;
        TRY(read_string(r, in->key_strindex, &label->key));
        TRY(read_string(r, in->unit_strindex, &label->unit));
        if (in->value != NULL && in->value->value_case == OTLP__ANY_VALUE__VALUE_ARRAY_VALUE)
            TRY(read_list(r, &in->value->array_value, &r->attributes[i]));
        else
            TRY(read_value(r, in->value, label));
    }
    return 0;
}

/* The text of the attribute `key` among those of a row; 0: it has none. */
static int find_attribute(struct reader *r, const int32_t *indices, size_t count,
                          const char *key, profile_id *text)
{
    *text = 0;
    for (size_t i = 0; i < count; i++) {
        TRY(check(r, indices[i], r->dictionary->n_attribute_table, "attribute"));
        if (strcmp(profile_text(r->p, r->attributes[indices[i]].label.key), key) == 0)
            *text = r->attributes[indices[i]].label.text;
    }
    return 0;
}

/* Tables */

static int read_mappings(struct reader *r)
{
    for (size_t i = 0; i < r->dictionary->n_mapping_table; i++) {
        const Otlp__Mapping *in = r->dictionary->mapping_table[i];
        struct profile_mapping mapping = {
            .start = in->memory_start,
            .limit = in->memory_limit,
            .file_offset = in->file_offset,
        };
        TRY(read_string(r, in->filename_strindex, &mapping.filename));
        TRY(find_attribute(r, in->attribute_indices, in->n_attribute_indices, OTLP_BUILD_ID,
                           &mapping.build_id));
        TRY(find_attribute(r, in->attribute_indices, in->n_attribute_indices, OTLP_HTLHASH,
                           &mapping.htlhash));
        r->mappings[i] = profile_mapping(r->p, &mapping);
    }
    return 0;
}

static int read_functions(struct reader *r)
{
    for (size_t i = 0; i < r->dictionary->n_function_table; i++) {
        const Otlp__Function *in = r->dictionary->function_table[i];
        struct profile_function function = {.start_line = in->start_line};
        TRY(read_string(r, in->name_strindex, &function.name));
        TRY(read_string(r, in->system_name_strindex, &function.system_name));
        TRY(read_string(r, in->filename_strindex, &function.filename));
        r->functions[i] = profile_function(r->p, &function);
    }
    return 0;
}

/* Those of a function; others tell nothing. */
static int read_lines(struct reader *r, const Otlp__Location *in, struct profile_line *lines,
                      uint32_t *count)
{
    for (size_t i = 0; i < in->n_lines; i++) {
        const Otlp__Line *line = in->lines[i];
        TRY(check(r, line->function_index, r->dictionary->n_function_table, "function"));
        lines[*count] = (struct profile_line){
            .function = r->functions[line->function_index],
            .line = line->line,
            .column = line->column,
        };
        *count += lines[*count].function != 0;
    }
    return 0;
}

static int read_location(struct reader *r, size_t row)
{
    const Otlp__Location *in = r->dictionary->location_table[row];
    struct profile_line *lines = row_lines(&r->lists, in->n_lines);
    if (lines == NULL)
        return refuse_memory(r->error);
    struct profile_location location = {.address = in->address, .lines = lines};
    profile_id type;
    TRY(check(r, in->mapping_index, r->dictionary->n_mapping_table, "mapping"));
    TRY(find_attribute(r, in->attribute_indices, in->n_attribute_indices, FRAME_TYPE_KEY,
                       &type));
    location.mapping = r->mappings[in->mapping_index];
    location.type = frame_type_parse(profile_text(r->p, type));
    location.other_type = location.type == CPROF_FRAME_UNKNOWN ? type : 0;
    TRY(read_lines(r, in, lines, &location.line_count));
    r->locations[row] = profile_location(r->p, &location);
    return 0;
}

static int read_stack(struct reader *r, size_t row)
{
    const Otlp__Stack *in = r->dictionary->stack_table[row];
    profile_id *frames = row_frames(&r->lists, in->n_location_indices);
    if (frames == NULL)
        return refuse_memory(r->error);
    for (size_t i = 0; i < in->n_location_indices; i++) {
        TRY(check(r, in->location_indices[i], r->dictionary->n_location_table, "location"));
        frames[i] = r->locations[in->location_indices[i]];
    }
    r->stacks[row] = profile_stack(r->p, frames, in->n_location_indices);
    return 0;
}

static int read_link(struct reader *r, size_t row)
{
    const Otlp__Link *in = r->dictionary->link_table[row];
    struct profile_link link = {0};
    /* An id of another length is no id. */
    if (in->trace_id.len == sizeof(link.trace_id))
        memcpy(link.trace_id, in->trace_id.data, sizeof(link.trace_id));
    if (in->span_id.len == sizeof(link.span_id))
        memcpy(link.span_id, in->span_id.data, sizeof(link.span_id));
    r->links[row] = profile_link(r->p, &link);
    return 0;
}

static int read_dictionary(struct reader *r)
{
    TRY(read_strings(r));
    TRY(read_attributes(r));
    TRY(read_mappings(r));
    TRY(read_functions(r));
    for (size_t i = 0; i < r->dictionary->n_location_table; i++)
        TRY(read_location(r, i));
    for (size_t i = 0; i < r->dictionary->n_stack_table; i++)
        TRY(read_stack(r, i));
    for (size_t i = 0; i < r->dictionary->n_link_table; i++)
        TRY(read_link(r, i));
    return 0;
}

/* What stands once: each Profile's is put into a profile of its own without samples, and that
 * merged into the result. */

static int set_attribute(struct reader *r, struct profile *to, enum profile_attributes which,
                         const struct profile_label *label)
{
    const char *key = profile_text(r->p, label->key);
    if (label->text == 0 && !label->is_number)
        return 0;
    int status = label->is_number
                     ? profile_set_number(to, which, key, label->number)
                     : profile_set_text(to, which, key, profile_text(r->p, label->text));
    if (status == -ENOSPC)
        return refuse(r->error, "more than %d attributes", PROFILE_MAX_ATTRIBUTES);
    return status == 0 ? 0 : refuse_memory(r->error);
}

static int read_attribute(struct reader *r, const Otlp__KeyValue *in,
                          struct profile_label *label)
{
    *label = (struct profile_label){0};
    if (in->key_strindex != 0)
        TRY(read_string(r, in->key_strindex, &label->key));
    else
        label->key = intern_text(r, &in->key);
    return read_value(r, in->value, label);
}

static int read_resource(struct reader *r, const Otlp__Resource *in, struct profile *to)
{
    struct profile_label label;
    for (size_t i = 0; in != NULL && i < in->n_attributes; i++) {
        TRY(read_attribute(r, in->attributes[i], &label));
        TRY(set_attribute(r, to, PROFILE_RESOURCE, &label));
    }
    return 0;
}

/* The number of an attribute among those of all resources; 0: out of memory. */
static profile_id number_attribute(struct resources *all, const struct profile *p,
                                   const struct profile_label *label)
{
    struct profile *to = all->interner;
    const struct profile_label copy = {
        .key = profile_string(to, profile_text(p, label->key)),
        .text = profile_string(to, profile_text(p, label->text)),
        .number = label->number,
        .is_number = label->is_number,
    };
    return profile_labels(to, &copy, 1);
}

/* What the resource has that not all have. */
static int read_own_attributes(struct reader *r, const Otlp__Resource *in)
{
    struct profile_label label;
    free(r->own);
    r->own_count = 0;
    r->own = calloc((in != NULL ? in->n_attributes : 0) + 1, sizeof(*r->own));
    if (r->own == NULL)
        return refuse_memory(r->error);
    for (size_t i = 0; in != NULL && i < in->n_attributes; i++) {
        TRY(read_attribute(r, in->attributes[i], &label));
        profile_id number = number_attribute(r->resources, r->p, &label);
        bool shared =
            number < r->resources->room && r->resources->had_by[number] == r->resources->count;
        if (shared || label.key == 0 || (label.text == 0 && !label.is_number))
            continue;
        if (r->own_count == MOST_OWN)
            return refuse(r->error, "a resource has more than %d attributes that others lack",
                          MOST_OWN);
        r->own[r->own_count++] = label;
    }
    return 0;
}

static profile_id copy_text(struct profile *to, const ProtobufCBinaryData *text)
{
    return profile_string_n(to, (const char *)text->data, text->len);
}

static int read_header(struct reader *r, const Otlp__Profile *in,
                       const Otlp__InstrumentationScope *scope, bool another_column,
                       struct profile *to)
{
    struct profile_header *h = profile_header(to);
    struct profile_period *period = profile_period(to, 0);
    h->time_ns = in->time_unix_nano;
    h->duration_ns = in->duration_nano;
    period->value = in->period;
    if (in->profile_id.len == sizeof(h->profile_id))
        memcpy(h->profile_id, in->profile_id.data, sizeof(h->profile_id));
    if (scope != NULL) {
        h->scope_name = copy_text(to, &scope->name);
        h->scope_version = copy_text(to, &scope->version);
    }
    if (in->period_type != NULL) {
        profile_id type, unit;
        TRY(read_string(r, in->period_type->type_strindex, &type));
        TRY(read_string(r, in->period_type->unit_strindex, &unit));
        period->type.type = profile_string(to, profile_text(r->p, type));
        period->type.unit = profile_string(to, profile_text(r->p, unit));
    }
    for (size_t i = 0; i < in->n_attribute_indices; i++) {
        TRY(check(r, in->attribute_indices[i], r->dictionary->n_attribute_table, "attribute"));
        const struct profile_label *attribute = &r->attributes[in->attribute_indices[i]].label;
        if (!another_column || !profile_is_metric(r->p, attribute))
            TRY(set_attribute(r, to, PROFILE_ATTRIBUTES, attribute));
    }
    return 0;
}

static bool is_type(struct reader *r, const Otlp__ValueType *type, const char *name,
                    const char *unit)
{
    profile_id type_id, unit_id;
    return type != NULL && read_string(r, type->type_strindex, &type_id) == 0 &&
           read_string(r, type->unit_strindex, &unit_id) == 0 &&
           strcmp(profile_text(r->p, type_id), name) == 0 &&
           strcmp(profile_text(r->p, unit_id), unit) == 0;
}

/* Samples of CPU time, told as counts with the nanoseconds of one of them as the period. */
static bool tells_cpu_time(struct reader *r, const Otlp__Profile *in)
{
    return !r->has_cpu && in->period > 0 && is_type(r, in->sample_type, "samples", "count") &&
           is_type(r, in->period_type, "cpu", "nanoseconds");
}

static int add_value_type(struct reader *r, struct profile *to, const char *type,
                          const char *unit)
{
    int status = profile_add_value_type(to, 0, type, unit);
    return status == 0 || status == -EEXIST ? 0 : refuse_memory(r->error);
}

static int read_value_type(struct reader *r, const Otlp__Profile *in, struct profile *to)
{
    profile_id type = 0, unit = 0;
    if (in->sample_type != NULL) {
        TRY(read_string(r, in->sample_type->type_strindex, &type));
        TRY(read_string(r, in->sample_type->unit_strindex, &unit));
    }
    return add_value_type(r, to, profile_text(r->p, type), profile_text(r->p, unit));
}

/* The sheet's first, by which it is found in the sum, and the Profile's own. */
static int read_value_types(struct reader *r, const Otlp__Profile *in, struct profile *to)
{
    TRY(read_value_type(r, r->first, to));
    TRY(read_value_type(r, in, to));
    r->at = profile_value_count(to) - 1;
    if (tells_cpu_time(r, in))
        TRY(add_value_type(r, to, "cpu", "nanoseconds"));
    return 0;
}

/* OTLP has a Profile for each value type. One after another of the same time they are the
 * columns of one profile, and its metrics count once. */
static bool is_another_column(const struct reader *r, const Otlp__ScopeProfiles *scope,
                              const Otlp__Profile *in)
{
    const Otlp__Profile *last = r->last;
    return last != NULL && scope == r->scope && last->time_unix_nano == in->time_unix_nano &&
           last->duration_nano == in->duration_nano && last->sample_type != NULL &&
           in->sample_type != NULL &&
           last->sample_type->type_strindex != in->sample_type->type_strindex;
}

static bool same_type(const Otlp__ValueType *a, const Otlp__ValueType *b)
{
    return a != NULL && b != NULL && a->type_strindex == b->type_strindex &&
           a->unit_strindex == b->unit_strindex;
}

/* Does it tell nothing of its period? Then one value may stand for one of itself. */
static bool has_no_period(const Otlp__Profile *in)
{
    return in->period_type == NULL || in->period <= 0 ||
           (in->period == 1 && same_type(in->period_type, in->sample_type));
}

static bool same_period(const Otlp__Profile *a, const Otlp__Profile *b)
{
    return (has_no_period(a) && has_no_period(b)) ||
           (a->period == b->period && same_type(a->period_type, b->period_type));
}

static bool same_identity(const Otlp__Sample *a, const Otlp__Sample *b)
{
    return a->stack_index == b->stack_index && a->link_index == b->link_index &&
           a->n_attribute_indices == b->n_attribute_indices &&
           (a->n_attribute_indices == 0 ||
            memcmp(a->attribute_indices, b->attribute_indices,
                   a->n_attribute_indices * sizeof(*a->attribute_indices)) == 0);
}

/* Are the samples some of the other's, in the same order? */
static bool has_samples_of(const Otlp__Profile *in, const Otlp__Profile *other)
{
    size_t at = 0;
    for (size_t i = 0; i < other->n_samples && at < in->n_samples; i++)
        at += same_identity(in->samples[at], other->samples[i]);
    return at == in->n_samples;
}

/* Is the Profile one more column of the sheet at hand? What a source counts in several units
 * has one period, and the same samples but for those that are 0. */
static bool is_of_sheet(const struct reader *r, const Otlp__ScopeProfiles *scope,
                        const Otlp__Profile *in)
{
    return is_another_column(r, scope, in) && same_period(r->first, in) &&
           has_samples_of(in, r->first);
}

static int read_head(struct reader *r, const Otlp__ResourceProfiles *resource,
                     const Otlp__ScopeProfiles *scope, const Otlp__Profile *in,
                     struct profile *once)
{
    r->joined++;
    if (r->joined >= PROFILE_MAX_VALUES || !is_of_sheet(r, scope, in)) {
        r->first = in;
        r->joined = 0;
    }
    TRY(read_value_types(r, in, once));
    TRY(read_resource(r, resource->resource, once));
    TRY(read_header(r, in, scope->scope, is_another_column(r, scope, in), once));
    return refuse_merge(r->error, profile_merge_head(r->p, once, r->places));
}

/* Samples */

/* Values of one identity add up; times alone count as one each. */
static int64_t value_of(const Otlp__Sample *in)
{
    int64_t sum = 0;
    if (in->n_values == 0)
        return (int64_t)in->n_timestamps_unix_nano;
    for (size_t i = 0; i < in->n_values; i++)
        sum = clamp_add(sum, in->values[i]);
    return sum;
}

static bool has_key(const struct profile_label *labels, size_t count, profile_id key)
{
    for (size_t i = 0; i < count; i++)
        if (labels[i].key == key)
            return true;
    return false;
}

/* All labels of a sample, in r->lists.labels: its own and, of keys that it has not, those of
 * its resource; and its time. */
static int read_labels(struct reader *r, const Otlp__Sample *in, uint64_t time, profile_id *id)
{
    size_t room = r->own_count + 1, count = 0;
    *id = 0;
    for (size_t i = 0; i < in->n_attribute_indices; i++) {
        TRY(check(r, in->attribute_indices[i], r->dictionary->n_attribute_table, "attribute"));
        room += 1 + r->attributes[in->attribute_indices[i]].more_count;
    }
    struct profile_label *labels = row_labels(&r->lists, room);
    if (labels == NULL)
        return refuse_memory(r->error);
    for (size_t i = 0; i < in->n_attribute_indices; i++) {
        const struct attribute *attribute = &r->attributes[in->attribute_indices[i]];
        const bool one = attribute->more == NULL;
        const struct profile_label *values = one ? &attribute->label : attribute->more;
        for (size_t k = 0; k < (one ? 1 : attribute->more_count); k++)
            labels[count++] = values[k];
    }
    const size_t own = count;
    for (size_t i = 0; i < r->own_count; i++)
        if (!has_key(labels, own, r->own[i].key))
            labels[count++] = r->own[i];
    if (time != 0)
        labels[count++] = (struct profile_label){.key = profile_string(r->p, PROFILE_TIME),
                                                 .is_number = true,
                                                 .number = (int64_t)time,
                                                 .unit = profile_string(r->p, "nanoseconds")};
    *id = profile_all_labels(r->p, labels, count);
    return 0;
}

/* `time` 0: of none. */
static int read_sample(struct reader *r, const Otlp__Sample *in, uint64_t time,
                       const int64_t *values)
{
    TRY(check(r, in->stack_index, r->dictionary->n_stack_table, "stack"));
    /* Index 0 says "no link" even to a table that is missing. */
    if (in->link_index != 0)
        TRY(check(r, in->link_index, r->dictionary->n_link_table, "link"));
    profile_id labels = 0;
    TRY(read_labels(r, in, time, &labels));
    profile_id link = in->link_index != 0 ? r->links[in->link_index] : 0;
    int status = profile_add_row(r->p, r->places[r->at].column, r->stacks[in->stack_index],
                                 link, labels, values);
    return status == 0 ? 0 : refuse_memory(r->error);
}

static int read_counted(struct reader *r, const Otlp__Profile *in, const Otlp__Sample *sample,
                        uint64_t time, int64_t value)
{
    int64_t values[PROFILE_MAX_VALUES] = {0};
    profile_put(values, r->places[r->at], value);
    if (r->counts_time)
        profile_put(values, r->places[r->at + 1], clamp_multiply(value, in->period));
    return read_sample(r, sample, time, values);
}

/* Are the sample's times to be kept apart? A bounded number is; of what is beyond, the values
 * of one identity add up. */
static bool has_times(struct reader *r, const Otlp__Sample *in)
{
    const size_t count = in->n_timestamps_unix_nano;
    if (count == 0 || (in->n_values != 0 && in->n_values != count) ||
        count > MOST_TIMES - r->times)
        return false;
    r->times += count;
    return true;
}

static int read_samples(struct reader *r, const Otlp__Profile *in)
{
    for (size_t i = 0; i < in->n_samples; i++) {
        const Otlp__Sample *sample = in->samples[i];
        if (!has_times(r, sample)) {
            TRY(read_counted(r, in, sample, 0, value_of(sample)));
            continue;
        }
        for (size_t k = 0; k < sample->n_timestamps_unix_nano; k++)
            TRY(read_counted(r, in, sample, sample->timestamps_unix_nano[k],
                             sample->n_values > 0 ? sample->values[k] : 1));
    }
    return 0;
}

static int read_profile(struct reader *r, const Otlp__ResourceProfiles *resource,
                        const Otlp__ScopeProfiles *scope, const Otlp__Profile *in)
{
    if (in->n_samples == 0)
        return 0;
    if (r->resources->count > 1 && r->resource != resource)
        TRY(read_own_attributes(r, resource->resource));
    r->resource = resource;
    struct profile *once = profile_new(NULL);
    if (once == NULL)
        return refuse_memory(r->error);
    int status = read_head(r, resource, scope, in, once);
    r->counts_time = profile_value_count(once) > r->at + 1;
    if (status == 0)
        status = read_samples(r, in);
    profile_free(once);
    r->scope = scope;
    r->last = in;
    return status;
}

/* The whole */

/* Calls `each` for every Profile until one fails. */
static int for_each_profile(struct reader *r,
                            int (*each)(struct reader *, const Otlp__ResourceProfiles *,
                                        const Otlp__ScopeProfiles *, const Otlp__Profile *))
{
    for (size_t i = 0; i < r->in->n_resource_profiles; i++) {
        const Otlp__ResourceProfiles *resource = r->in->resource_profiles[i];
        for (size_t k = 0; k < resource->n_scope_profiles; k++) {
            const Otlp__ScopeProfiles *scope = resource->scope_profiles[k];
            for (size_t n = 0; n < scope->n_profiles; n++)
                TRY(each(r, resource, scope, scope->profiles[n]));
        }
    }
    return 0;
}

static int look_for_cpu(struct reader *r, const Otlp__ResourceProfiles *resource,
                        const Otlp__ScopeProfiles *scope, const Otlp__Profile *in)
{
    (void)resource;
    (void)scope;
    if (is_type(r, in->sample_type, "cpu", "nanoseconds"))
        r->has_cpu = true;
    return 0;
}

static bool reader_init(struct reader *r)
{
    const Otlp__ProfilesDictionary *d = r->dictionary;
    r->strings = calloc(d->n_string_table + 1, sizeof(*r->strings));
    r->mappings = calloc(d->n_mapping_table + 1, sizeof(*r->mappings));
    r->functions = calloc(d->n_function_table + 1, sizeof(*r->functions));
    r->locations = calloc(d->n_location_table + 1, sizeof(*r->locations));
    r->stacks = calloc(d->n_stack_table + 1, sizeof(*r->stacks));
    r->links = calloc(d->n_link_table + 1, sizeof(*r->links));
    r->attributes = calloc(d->n_attribute_table + 1, sizeof(*r->attributes));
    return r->strings != NULL && r->mappings != NULL && r->functions != NULL &&
           r->locations != NULL && r->stacks != NULL && r->links != NULL &&
           r->attributes != NULL;
}

static void reader_free(struct reader *r)
{
    free(r->strings);
    free(r->mappings);
    free(r->functions);
    free(r->locations);
    free(r->stacks);
    free(r->links);
    for (size_t i = 0; r->attributes != NULL && i < r->dictionary->n_attribute_table; i++)
        free(r->attributes[i].more);
    free(r->attributes);
    free(r->own);
    row_free(&r->lists);
}

static int read_data(struct reader *r)
{
    TRY(read_dictionary(r));
    for_each_profile(r, look_for_cpu);
    return for_each_profile(r, read_profile);
}

/* --- the whole --- */

/* What is known across the messages of one input. */
struct input {
    struct profile *sum;
    char *error;
    struct resources resources;
    bool by_name; /* from JSON, whose names say of which version it is */
    bool has_samples;
};

static int read_message(struct input *input, const Otlp__ProfilesData *in)
{
    struct reader r = {.in = in,
                       .dictionary = in->dictionary,
                       .resources = &input->resources,
                       .p = input->sum,
                       .error = input->error};
    if (in->n_resource_profiles == 0 && in->dictionary == NULL)
        return 0;
    if (r.dictionary == NULL)
        return refuse(input->error, "no dictionary: cut short, or of no OTLP that cprof knows");
    int status = reader_init(&r) ? read_data(&r) : refuse_memory(input->error);
    input->has_samples |= r.last != NULL;
    reader_free(&r);
    return status;
}

static int for_message(struct input *input, struct wire_cursor message,
                       int (*each)(struct input *input, const Otlp__ProfilesData *in))
{
    struct wire_tree tree = {0};
    const size_t size = (size_t)(message.end - message.at);
    const char *old = input->by_name ? NULL : otlp_old_version(message.at, size);
    if (old != NULL)
        return otlp_refuse_old(input->error, old);
    int status =
        wire_unpack(&tree, &otlp__profiles_data__descriptor, message.at, size, input->error);
    if (status == 0)
        status = each(input, (const Otlp__ProfilesData *)tree.message);
    wire_release(&tree);
    return status;
}

/* --- resources, before all else --- */

static bool has_samples(const Otlp__ResourceProfiles *resource)
{
    for (size_t i = 0; i < resource->n_scope_profiles; i++)
        for (size_t k = 0; k < resource->scope_profiles[i]->n_profiles; k++)
            if (resource->scope_profiles[i]->profiles[k]->n_samples > 0)
                return true;
    return false;
}

/* Room for the attribute of that number. */
static bool reserve_attribute(struct resources *all, size_t number)
{
    if (number < all->room)
        return true;
    size_t room = 2 * number + 64;
    uint32_t *had_by = realloc(all->had_by, room * sizeof(*had_by));
    if (had_by != NULL)
        all->had_by = had_by;
    uint32_t *last = realloc(all->last, room * sizeof(*last));
    if (last != NULL)
        all->last = last;
    if (had_by == NULL || last == NULL)
        return false;
    memset(had_by + all->room, 0, (room - all->room) * sizeof(*had_by));
    memset(last + all->room, 0, (room - all->room) * sizeof(*last));
    all->room = room;
    return true;
}

static int count_attributes(struct reader *r, const Otlp__Resource *in)
{
    struct resources *all = r->resources;
    struct profile_label label;
    for (size_t i = 0; in != NULL && i < in->n_attributes; i++) {
        TRY(read_attribute(r, in->attributes[i], &label));
        profile_id number = number_attribute(all, r->p, &label);
        if (number == 0 || !reserve_attribute(all, number))
            return refuse_memory(r->error);
        all->had_by[number] += all->last[number] != all->count;
        all->last[number] = all->count;
    }
    return 0;
}

static int look_at_resources(struct input *input, const Otlp__ProfilesData *in)
{
    struct reader r = {.in = in,
                       .dictionary = in->dictionary,
                       .resources = &input->resources,
                       .p = input->resources.interner,
                       .error = input->error};
    if (r.dictionary == NULL)
        return 0; /* refused later */
    int status = reader_init(&r) ? read_strings(&r) : refuse_memory(input->error);
    for (size_t i = 0; status == 0 && i < in->n_resource_profiles; i++)
        if (has_samples(in->resource_profiles[i])) {
            input->resources.count++;
            status = count_attributes(&r, in->resource_profiles[i]->resource);
        }
    reader_free(&r);
    return status;
}

/* Resources of a message that is not decoded yet. */
static size_t count_resources(struct wire_cursor message)
{
    enum { RESOURCE_PROFILES = 1 };
    struct wire_field field;
    size_t count = 0;
    while (wire_next(&message, &field) > 0)
        count += field.number == RESOURCE_PROFILES;
    return count;
}

/* --- files of many messages --- */

/* Calls `each` for all messages; an input that is no file of many is one. */
static int for_each_message(struct input *input, struct wire_cursor file, bool frames,
                            int (*each)(struct input *input, const Otlp__ProfilesData *in))
{
    struct wire_cursor message;
    if (!frames)
        return for_message(input, file, each);
    while (otlp_next_frame(&file, &message))
        TRY(for_message(input, message, each));
    if (file.at != file.end)
        return refuse(input->error, "cut short: %zu bytes after the last whole message",
                      (size_t)(file.end - file.at));
    return 0;
}

static bool has_several_resources(struct wire_cursor file, bool frames)
{
    struct wire_cursor message;
    size_t count = 0;
    if (!frames)
        return count_resources(file) > 1;
    while (count < 2 && otlp_next_frame(&file, &message))
        count += count_resources(message);
    return count > 1;
}

static int read_messages(struct input *input, const unsigned char *data, size_t size,
                         bool frames)
{
    const struct wire_cursor file = {data, data + size};
    if (has_several_resources(file, frames)) {
        if (profile_guards_resource(input->sum)) /* before anything is added */
            return refuse_merge(input->error, -EXDEV);
        input->resources.interner = profile_new(NULL);
        if (input->resources.interner == NULL)
            return refuse_memory(input->error);
        TRY(for_each_message(input, file, frames, look_at_resources));
    }
    return for_each_message(input, file, frames, read_message);
}

bool otlp_detect_json(const unsigned char *data, size_t size)
{
    static const char *const keys[] = {"\"resourceProfiles\"", "\"resource_profiles\""};
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        if (json_detect(data, size) && memmem(data, size, keys[i], strlen(keys[i])) != NULL)
            return true;
    return false;
}

static int read_json(struct input *input, const unsigned char *data, size_t size)
{
    struct buffer frames = {0};
    input->by_name = true;
    int status = otlp_json_frames(data, size, &frames, input->error);
    if (status == 0)
        status = read_messages(input, frames.data, frames.size, true);
    buffer_free(&frames);
    return status;
}

static int read_raw(const unsigned char *data, size_t size, struct profile *sum,
                    char error[FORMAT_ERROR_SIZE])
{
    struct input input = {.sum = sum, .error = error};
    struct wire_cursor message;
    int status =
        json_detect(data, size)
            ? read_json(&input, data, size)
            : read_messages(&input, data, size, otlp_first_frame(data, size, &message));
    profile_free(input.resources.interner);
    free(input.resources.had_by);
    free(input.resources.last);
    if (status == 0 && !input.has_samples)
        return refuse(error, "no samples in it");
    return status != 0 || profile_error(sum) == 0 ? status : refuse_memory(error);
}

int otlp_read(const unsigned char *data, size_t size, struct profile *sum,
              char error[FORMAT_ERROR_SIZE])
{
    return gzip_read(data, size, sum, read_raw, error);
}
