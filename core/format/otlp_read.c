#include "format/otlp.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/frame_type.h"
#include "format/gzip.h"
#include "format/refuse.h"
#include "format/row.h"
#include "format/wire.h"
#include "profile/clamp.h"
#include "profile/combine.h"
#include "profiles.pb-c.h"

struct reader {
    const Otlp__ProfilesData *in;
    const Otlp__ProfilesDictionary *dictionary;
    struct profile *p; /* the sum */
    char *error;
    bool has_cpu;                       /* a Profile gives cpu/nanoseconds itself */
    size_t columns[PROFILE_MAX_VALUES]; /* of the sum, for each value of the Profile */
    const Otlp__ScopeProfiles *scope;   /* of the Profile read last */
    const Otlp__Profile *last;
    /* By row of the dictionary's tables: */
    profile_id *strings, *mappings, *functions, *locations, *stacks, *links;
    struct profile_label *attributes;
    struct row lists;
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

static int read_attributes(struct reader *r)
{
    for (size_t i = 0; i < r->dictionary->n_attribute_table; i++) {
        const Otlp__KeyValueAndUnit *in = r->dictionary->attribute_table[i];
        struct profile_label *label = &r->attributes[i];
        TRY(read_string(r, in->key_strindex, &label->key));
        TRY(read_string(r, in->unit_strindex, &label->unit));
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
        if (strcmp(profile_text(r->p, r->attributes[indices[i]].key), key) == 0)
            *text = r->attributes[indices[i]].text;
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

static int read_lines(struct reader *r, const Otlp__Location *in, struct profile_line *lines)
{
    for (size_t i = 0; i < in->n_lines; i++) {
        const Otlp__Line *line = in->lines[i];
        TRY(check(r, line->function_index, r->dictionary->n_function_table, "function"));
        lines[i] = (struct profile_line){
            .function = r->functions[line->function_index],
            .line = line->line,
            .column = line->column,
        };
    }
    return 0;
}

static int read_location(struct reader *r, size_t row)
{
    const Otlp__Location *in = r->dictionary->location_table[row];
    struct profile_line *lines = row_lines(&r->lists, in->n_lines);
    if (lines == NULL)
        return refuse_memory(r->error);
    struct profile_location location = {
        .address = in->address,
        .line_count = (uint32_t)in->n_lines,
        .lines = lines,
    };
    profile_id type;
    TRY(check(r, in->mapping_index, r->dictionary->n_mapping_table, "mapping"));
    TRY(find_attribute(r, in->attribute_indices, in->n_attribute_indices, FRAME_TYPE_KEY,
                       &type));
    location.mapping = r->mappings[in->mapping_index];
    location.type = frame_type_parse(profile_text(r->p, type));
    TRY(read_lines(r, in, lines));
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

static int read_resource(struct reader *r, const Otlp__Resource *in, struct profile *to)
{
    for (size_t i = 0; in != NULL && i < in->n_attributes; i++) {
        const Otlp__KeyValue *attribute = in->attributes[i];
        struct profile_label label = {0};
        if (attribute->key_strindex != 0)
            TRY(read_string(r, attribute->key_strindex, &label.key));
        else
            label.key = intern_text(r, &attribute->key);
        TRY(read_value(r, attribute->value, &label));
        TRY(set_attribute(r, to, PROFILE_RESOURCE, &label));
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
    h->time_ns = in->time_unix_nano;
    h->duration_ns = in->duration_nano;
    h->period = in->period;
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
        h->period_type.type = profile_string(to, profile_text(r->p, type));
        h->period_type.unit = profile_string(to, profile_text(r->p, unit));
    }
    for (size_t i = 0; i < in->n_attribute_indices; i++) {
        TRY(check(r, in->attribute_indices[i], r->dictionary->n_attribute_table, "attribute"));
        const struct profile_label *attribute = &r->attributes[in->attribute_indices[i]];
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
    return profile_add_value_type(to, type, unit) == 0 ? 0 : refuse_memory(r->error);
}

static int read_value_types(struct reader *r, const Otlp__Profile *in, struct profile *to)
{
    profile_id type = 0, unit = 0;
    if (in->sample_type != NULL) {
        TRY(read_string(r, in->sample_type->type_strindex, &type));
        TRY(read_string(r, in->sample_type->unit_strindex, &unit));
    }
    TRY(add_value_type(r, to, profile_text(r->p, type), profile_text(r->p, unit)));
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

static int read_head(struct reader *r, const Otlp__ResourceProfiles *resource,
                     const Otlp__ScopeProfiles *scope, const Otlp__Profile *in,
                     struct profile *once)
{
    TRY(read_value_types(r, in, once));
    TRY(read_resource(r, resource->resource, once));
    TRY(read_header(r, in, scope->scope, is_another_column(r, scope, in), once));
    return refuse_merge(r->error, profile_merge_head(r->p, once, r->columns));
}

/* Samples */

/* Values and times of one identity add up; times alone count as one each. */
static int64_t value_of(const Otlp__Sample *in)
{
    int64_t sum = 0;
    if (in->n_values == 0)
        return (int64_t)in->n_timestamps_unix_nano;
    for (size_t i = 0; i < in->n_values; i++)
        sum = clamp_add(sum, in->values[i]);
    return sum;
}

static int read_sample(struct reader *r, const Otlp__Sample *in, const int64_t *values)
{
    TRY(check(r, in->stack_index, r->dictionary->n_stack_table, "stack"));
    /* Index 0 says "no link" even to a table that is missing. */
    if (in->link_index != 0)
        TRY(check(r, in->link_index, r->dictionary->n_link_table, "link"));
    struct profile_label *read = row_labels(&r->lists, in->n_attribute_indices);
    if (read == NULL)
        return refuse_memory(r->error);
    for (size_t i = 0; i < in->n_attribute_indices; i++) {
        TRY(check(r, in->attribute_indices[i], r->dictionary->n_attribute_table, "attribute"));
        read[i] = r->attributes[in->attribute_indices[i]];
    }
    profile_id labels = profile_labels(r->p, read, in->n_attribute_indices);
    profile_id link = in->link_index != 0 ? r->links[in->link_index] : 0;
    int status = profile_add(r->p, r->stacks[in->stack_index], link, labels, values);
    return status == 0 ? 0 : refuse_memory(r->error);
}

static int read_samples(struct reader *r, const Otlp__Profile *in, bool cpu_time)
{
    for (size_t i = 0; i < in->n_samples; i++) {
        int64_t values[PROFILE_MAX_VALUES] = {0};
        int64_t value = value_of(in->samples[i]);
        values[r->columns[0]] = value;
        if (cpu_time)
            values[r->columns[1]] = clamp_multiply(value, in->period);
        TRY(read_sample(r, in->samples[i], values));
    }
    return 0;
}

static int read_profile(struct reader *r, const Otlp__ResourceProfiles *resource,
                        const Otlp__ScopeProfiles *scope, const Otlp__Profile *in)
{
    if (in->n_samples == 0)
        return 0;
    struct profile *once = profile_new(NULL);
    if (once == NULL)
        return refuse_memory(r->error);
    int status = read_head(r, resource, scope, in, once);
    if (status == 0)
        status = read_samples(r, in, profile_value_count(once) == 2);
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
    free(r->attributes);
    row_free(&r->lists);
}

static int read_data(struct reader *r)
{
    TRY(read_dictionary(r));
    for_each_profile(r, look_for_cpu);
    TRY(for_each_profile(r, read_profile));
    if (r->last == NULL)
        return refuse(r->error, "no samples in it");
    return profile_error(r->p) == 0 ? 0 : refuse_memory(r->error);
}

static int read_message(const Otlp__ProfilesData *in, struct profile *sum,
                        char error[FORMAT_ERROR_SIZE])
{
    struct reader r = {.in = in, .dictionary = in->dictionary, .p = sum, .error = error};
    if (r.dictionary == NULL)
        return refuse(error, "no dictionary: written by OTLP before 1.7, or cut short");
    int status = reader_init(&r) ? read_data(&r) : refuse_memory(error);
    reader_free(&r);
    return status;
}

static int read_raw(const unsigned char *data, size_t size, struct profile *sum,
                    char error[FORMAT_ERROR_SIZE])
{
    struct wire_tree tree = {0};
    int status = wire_unpack(&tree, &otlp__profiles_data__descriptor, data, size, error);
    if (status == 0)
        status = read_message((const Otlp__ProfilesData *)tree.message, sum, error);
    wire_release(&tree);
    return status;
}

int otlp_read(const unsigned char *data, size_t size, struct profile *sum,
              char error[FORMAT_ERROR_SIZE])
{
    return gzip_read(data, size, sum, read_raw, error);
}
