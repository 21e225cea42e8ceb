#include "format/otlp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common.pb-c.h"
#include "format/frame_type.h"
#include "format/names.h"
#include "format/wire.h"
#include "profiles.pb-c.h"

enum data_field { DATA_RESOURCE_PROFILES = 1, DATA_DICTIONARY = 2 };
enum attributes_field { RESOURCE_ATTRIBUTES = 1 };
enum resource_field { RESOURCE_RESOURCE = 1, RESOURCE_SCOPE_PROFILES = 2 };
enum scope_field { SCOPE_SCOPE = 1, SCOPE_PROFILES = 2 };
enum profile_field { PROFILE_SAMPLES = 2 };
enum dictionary_field {
    DICTIONARY_MAPPINGS = 1,
    DICTIONARY_LOCATIONS = 2,
    DICTIONARY_FUNCTIONS = 3,
    DICTIONARY_LINKS = 4,
    DICTIONARY_STRINGS = 5,
    DICTIONARY_ATTRIBUTES = 6,
    DICTIONARY_STACKS = 7,
};

#define OF_LIST 1

struct writer {
    const struct profile *profile;
    struct names names;
    struct numbering mappings, functions, locations, stacks, links;
    /* struct profile_label: key and unit by `names`, text by `values`; with OF_LIST as its
     * number the text is an ArrayValue. */
    struct table attributes;
    struct names values; /* text that stands inline, not in the string table */
    int32_t *indices;    /* of one row; room for the longest list */
    Otlp__Line *lines;
    Otlp__Line **line_pointers;
    profile_id time; /* PROFILE_TIME of the profile; 0: no sample has it */
};

static profile_id find_text(const struct profile *p, const char *text)
{
    for (profile_id id = 1; id < profile_string_count(p); id++)
        if (strcmp(profile_text(p, id), text) == 0)
            return id;
    return 0;
}

static bool writer_init_payload(struct writer *w)
{
    struct profile_extent extent = profile_extent(w->profile);
    size_t lines = extent.lines + 1;
    size_t indices = profile_attribute_count(w->profile, PROFILE_ATTRIBUTES) + 2;
    if (extent.depth > indices)
        indices = extent.depth;
    if (extent.labels > indices)
        indices = extent.labels;
    w->indices = malloc(indices * sizeof(*w->indices));
    w->lines = malloc(lines * sizeof(*w->lines));
    w->line_pointers = malloc(lines * sizeof(*w->line_pointers));
    if (w->indices == NULL || w->lines == NULL || w->line_pointers == NULL)
        return false;
    for (size_t i = 0; i < lines; i++)
        w->line_pointers[i] = &w->lines[i];
    return true;
}

static bool writer_init(struct writer *w, const struct profile *p)
{
    *w = (struct writer){.profile = p, .time = find_text(p, PROFILE_TIME)};
    return names_init(&w->names, p) && names_init(&w->values, p) &&
           numbering_init(&w->mappings, profile_mapping_count(p)) &&
           numbering_init(&w->functions, profile_function_count(p)) &&
           numbering_init(&w->locations, profile_location_count(p)) &&
           numbering_init(&w->stacks, profile_stack_count(p)) &&
           numbering_init(&w->links, profile_link_count(p)) &&
           table_init(&w->attributes, &table_of_labels, &w->names.memory) &&
           writer_init_payload(w);
}

static void writer_free(struct writer *w)
{
    table_free(&w->attributes, &w->names.memory);
    names_free(&w->names);
    names_free(&w->values);
    numbering_free(&w->mappings);
    numbering_free(&w->functions);
    numbering_free(&w->locations);
    numbering_free(&w->stacks);
    numbering_free(&w->links);
    free(w->indices);
    free(w->lines);
    free(w->line_pointers);
}

/* Attributes */

static ProtobufCBinaryData inline_text(const struct table_string *string)
{
    return (ProtobufCBinaryData){.len = string->length, .data = (uint8_t *)string->text};
}

/* The number of an attribute whose parts have their numbers already. */
static uint32_t attribute(struct writer *w, const struct profile_label *label)
{
    uint32_t number = table_intern(&w->attributes, label, &w->names.arena, &w->names.memory);
    if (number == 0)
        w->names.failed = true;
    return number;
}

static uint32_t attribute_of(struct writer *w, const struct profile_label *label)
{
    return attribute(w, &(struct profile_label){
                            .key = names_of(&w->names, label->key),
                            .text = names_of(&w->values, label->text),
                            .number = label->number,
                            .unit = names_of(&w->names, label->unit),
                            .is_number = label->is_number,
                        });
}

static uint32_t attribute_text(struct writer *w, const char *key, uint32_t value)
{
    return attribute(w,
                     &(struct profile_label){.key = names_text(&w->names, key), .text = value});
}

static Otlp__AnyValue any_value(struct writer *w, bool is_number, int64_t number, uint32_t text)
{
    Otlp__AnyValue value = OTLP__ANY_VALUE__INIT;
    if (is_number) {
        value.value_case = OTLP__ANY_VALUE__VALUE_INT_VALUE;
        value.int_value = number;
    } else if (number == OF_LIST) {
        value.value_case = OTLP__ANY_VALUE__VALUE_ARRAY_VALUE;
        value.array_value = inline_text(names_at(&w->values, text));
    } else {
        value.value_case = OTLP__ANY_VALUE__VALUE_STRING_VALUE;
        value.string_value = inline_text(names_at(&w->values, text));
    }
    return value;
}

/* Several values of one key: OTLP's keys are unique, so that they are one attribute. */
static uint32_t attribute_list(struct writer *w, const struct profile_label *labels,
                               size_t count)
{
    enum array_field { ARRAY_VALUES = 1 };
    struct buffer list = {0};
    for (size_t i = 0; i < count; i++) {
        uint32_t text = names_of(&w->values, labels[i].text);
        Otlp__AnyValue value = any_value(w, labels[i].is_number, labels[i].number, text);
        wire_message(&list, ARRAY_VALUES, &value.base);
    }
    uint32_t number = attribute(w, &(struct profile_label){
                                       .key = names_of(&w->names, labels->key),
                                       .text = names_bytes(&w->values, list.data, list.size),
                                       .number = OF_LIST,
                                       .unit = names_of(&w->names, labels->unit),
                                   });
    w->names.failed |= list.error != 0;
    buffer_free(&list);
    return number;
}

/* Samples */

/* The attributes of a label set, in w->indices; their number. OTLP has a field for the time. */
static size_t put_labels(struct writer *w, struct profile_label_set set)
{
    size_t count = 0;
    for (uint32_t first = 0, next; first < set.count; first = next) {
        const struct profile_label *label = &set.labels[first];
        for (next = first + 1; next < set.count && set.labels[next].key == label->key;)
            next++;
        if (w->time != 0 && label->key == w->time && label->is_number)
            continue;
        w->indices[count++] =
            (int32_t)(next - first == 1 ? attribute_of(w, label)
                                        : attribute_list(w, label, next - first));
    }
    return count;
}

/* 0: it is of no time. */
static uint64_t time_of(const struct writer *w, struct profile_label_set set)
{
    for (uint32_t i = 0; w->time != 0 && i < set.count; i++)
        if (set.labels[i].key == w->time && set.labels[i].is_number)
            return (uint64_t)set.labels[i].number;
    return 0;
}

static void put_sample(struct writer *w, const struct profile_sample *sample, int64_t number,
                       struct buffer *out)
{
    Otlp__Sample row = OTLP__SAMPLE__INIT;
    row.stack_index = (int32_t)numbering_of(&w->stacks, sample->stack);
    row.link_index = (int32_t)numbering_of(&w->links, sample->link);
    const struct profile_label_set set = profile_get_labels(w->profile, sample->labels);
    uint64_t time = time_of(w, set);
    row.n_attribute_indices = put_labels(w, set);
    row.attribute_indices = w->indices;
    row.n_timestamps_unix_nano = time != 0;
    row.timestamps_unix_nano = &time;
    row.n_values = 1;
    row.values = &number;
    wire_message(out, PROFILE_SAMPLES, &row.base);
}

/* Every sample of the sheet once; a 0 only in its first column, where it says that the stack
 * was seen. */
static size_t put_samples(struct writer *w, size_t column, bool is_first, struct buffer *out)
{
    const size_t sheet = profile_column_sheet(w->profile, column);
    const size_t end = profile_first_sample(w->profile, sheet + 1);
    size_t count = 0;
    for (size_t i = profile_first_sample(w->profile, sheet); i < end; i++) {
        struct profile_sample sample = profile_get_sample(w->profile, i);
        int64_t value = profile_value(w->profile, &sample, column);
        if (!is_first && value == 0)
            continue;
        put_sample(w, &sample, value, out);
        count++;
    }
    return count;
}

/* A Profile of one column, unless nothing is in it: receivers drop empty ones silently. */
static void put_column(struct writer *w, size_t column, bool is_first, struct buffer *out)
{
    const struct profile_header *h = profile_header_const(w->profile);
    const struct profile_period *period =
        profile_period_const(w->profile, profile_column_sheet(w->profile, column));
    static const uint8_t no_id[sizeof(h->profile_id)];
    struct buffer samples = {0}, body = {0};
    if (put_samples(w, column, is_first, &samples) != 0) {
        /* Without a known period one value stands for one unit of itself: some receivers
         * refuse a period of 0. */
        bool known = period->value > 0 && period->type.type != 0;
        struct profile_value_type type = profile_value_type(w->profile, column);
        struct profile_value_type of = known ? period->type : type;
        Otlp__ValueType sample_type = OTLP__VALUE_TYPE__INIT;
        Otlp__ValueType period_type = OTLP__VALUE_TYPE__INIT;
        Otlp__Profile row = OTLP__PROFILE__INIT;
        sample_type.type_strindex = (int32_t)names_of(&w->names, type.type);
        sample_type.unit_strindex = (int32_t)names_of(&w->names, type.unit);
        period_type.type_strindex = (int32_t)names_of(&w->names, of.type);
        period_type.unit_strindex = (int32_t)names_of(&w->names, of.unit);
        row.sample_type = &sample_type;
        row.period_type = &period_type;
        row.period = known ? period->value : 1;
        row.time_unix_nano = h->time_ns;
        row.duration_nano = h->duration_ns;
        if (memcmp(h->profile_id, no_id, sizeof(no_id)) != 0)
            row.profile_id = (ProtobufCBinaryData){sizeof(no_id), (uint8_t *)h->profile_id};
        row.n_attribute_indices = profile_attribute_count(w->profile, PROFILE_ATTRIBUTES);
        row.attribute_indices = w->indices;
        for (size_t i = 0; i < row.n_attribute_indices; i++)
            w->indices[i] =
                (int32_t)attribute_of(w, profile_attribute(w->profile, PROFILE_ATTRIBUTES, i));
        wire_append(&body, &row.base);
        wire_concatenate(&body, &samples);
        wire_buffer(out, SCOPE_PROFILES, &body);
    }
    buffer_free(&samples);
    buffer_free(&body);
}

static bool is_type(const struct profile *p, struct profile_value_type type, const char *name,
                    const char *unit)
{
    return strcmp(profile_text(p, type.type), name) == 0 &&
           strcmp(profile_text(p, type.unit), unit) == 0;
}

static int column_of(const struct profile *p, const char *name, const char *unit)
{
    for (size_t i = 0; i < profile_value_count(p); i++)
        if (is_type(p, profile_value_type(p, i), name, unit))
            return (int)i;
    return -1;
}

/* The column that samples and period say already: OTLP gives a CPU profile as samples/count
 * with the nanoseconds of one sample as its period. -1: there is none. */
static int derived_column(const struct profile *p)
{
    int samples = column_of(p, "samples", "count"), cpu = column_of(p, "cpu", "nanoseconds");
    if (samples < 0 || cpu < 0)
        return -1;
    const size_t sheet = profile_column_sheet(p, (size_t)cpu);
    const struct profile_period *period = profile_period_const(p, sheet);
    if (profile_column_sheet(p, (size_t)samples) != sheet || period->value <= 0 ||
        !is_type(p, period->type, "cpu", "nanoseconds"))
        return -1;
    const size_t end = profile_first_sample(p, sheet + 1);
    for (size_t i = profile_first_sample(p, sheet); i < end; i++) {
        struct profile_sample sample = profile_get_sample(p, i);
        int64_t time;
        if (__builtin_mul_overflow(profile_value(p, &sample, (size_t)samples), period->value,
                                   &time) ||
            time != profile_value(p, &sample, (size_t)cpu))
            return -1;
    }
    return cpu;
}

/* Resource and scope: inline, since receivers lose references here. */

static void put_resource(struct writer *w, struct buffer *out)
{
    size_t count = profile_attribute_count(w->profile, PROFILE_RESOURCE);
    struct buffer body = {0};
    for (size_t i = 0; i < count; i++) {
        const struct profile_label *label = profile_attribute(w->profile, PROFILE_RESOURCE, i);
        Otlp__AnyValue value =
            any_value(w, label->is_number, label->number, names_of(&w->values, label->text));
        Otlp__KeyValue row = OTLP__KEY_VALUE__INIT;
        row.key = inline_text(names_at(&w->values, names_of(&w->values, label->key)));
        row.value = &value;
        wire_message(&body, RESOURCE_ATTRIBUTES, &row.base);
    }
    wire_buffer(out, RESOURCE_RESOURCE, &body);
    buffer_free(&body);
}

static void put_scope(struct writer *w, struct buffer *out)
{
    const struct profile_header *h = profile_header_const(w->profile);
    bool ours = h->scope_name == 0;
    Otlp__InstrumentationScope row = OTLP__INSTRUMENTATION_SCOPE__INIT;
    row.name = inline_text(names_at(&w->values, ours ? names_text(&w->values, OTLP_SCOPE)
                                                     : names_of(&w->values, h->scope_name)));
    row.version =
        inline_text(names_at(&w->values, ours ? names_text(&w->values, CPROF_VERSION)
                                              : names_of(&w->values, h->scope_version)));
    wire_message(out, SCOPE_SCOPE, &row.base);
}

/* The Profiles of a sheet stand one after another. */
static void put_sheet(struct writer *w, size_t sheet, int derived, struct buffer *out)
{
    bool is_first = true;
    for (size_t i = 0; i < profile_value_count(w->profile); i++) {
        if (profile_column_sheet(w->profile, i) != sheet)
            continue;
        if ((int)i != derived)
            put_column(w, i, is_first, out);
        is_first = false;
    }
}

static void write_resource_profiles(struct writer *w, struct buffer *out)
{
    struct buffer scope = {0}, resource = {0};
    int derived = derived_column(w->profile);
    put_scope(w, &scope);
    for (size_t i = 0; i < profile_sheet_count(w->profile); i++)
        put_sheet(w, i, derived, &scope);
    put_resource(w, &resource);
    wire_buffer(&resource, RESOURCE_SCOPE_PROFILES, &scope);
    buffer_free(&scope);
    wire_buffer(out, DATA_RESOURCE_PROFILES, &resource);
    buffer_free(&resource);
}

/* Dictionary */

static uint32_t location_number(struct writer *w, profile_id id)
{
    const struct profile_location *l = profile_get_location(w->profile, id);
    bool empty = l->mapping == 0 && l->address == 0 && l->line_count == 0 &&
                 l->type == CPROF_FRAME_UNKNOWN && l->other_type == 0;
    return empty ? 0 : numbering_of(&w->locations, id);
}

static void put_stack(struct writer *w, uint32_t number, struct buffer *out)
{
    struct profile_stack stack = {0};
    if (number != 0)
        stack = profile_get_stack(w->profile, w->stacks.order[number]);
    Otlp__Stack row = OTLP__STACK__INIT;
    for (uint32_t i = 0; i < stack.depth; i++)
        w->indices[i] = (int32_t)location_number(w, stack.locations[i]);
    row.n_location_indices = stack.depth;
    row.location_indices = w->indices;
    wire_message(out, DICTIONARY_STACKS, &row.base);
}

static void put_location(struct writer *w, uint32_t number, struct buffer *out)
{
    Otlp__Location row = OTLP__LOCATION__INIT;
    if (number != 0) {
        const struct profile_location *location =
            profile_get_location(w->profile, w->locations.order[number]);
        row.mapping_index = (int32_t)numbering_of(&w->mappings, location->mapping);
        row.address = location->address;
        row.n_lines = location->line_count;
        row.lines = w->line_pointers;
        for (uint32_t i = 0; i < location->line_count; i++) {
            otlp__line__init(&w->lines[i]);
            w->lines[i].function_index =
                (int32_t)numbering_of(&w->functions, location->lines[i].function);
            w->lines[i].line = location->lines[i].line;
            w->lines[i].column = location->lines[i].column;
        }
        const char *type = location->other_type != 0
                               ? profile_text(w->profile, location->other_type)
                               : frame_type_name(location->type);
        if (*type != '\0')
            w->indices[row.n_attribute_indices++] =
                (int32_t)attribute_text(w, FRAME_TYPE_KEY, names_text(&w->values, type));
        row.attribute_indices = w->indices;
    }
    wire_message(out, DICTIONARY_LOCATIONS, &row.base);
}

static void put_mapping(struct writer *w, uint32_t number, struct buffer *out)
{
    const struct profile_mapping *mapping =
        profile_get_mapping(w->profile, number != 0 ? w->mappings.order[number] : 0);
    Otlp__Mapping row = OTLP__MAPPING__INIT;
    row.memory_start = mapping->start;
    row.memory_limit = mapping->limit;
    row.file_offset = mapping->file_offset;
    row.filename_strindex = (int32_t)names_of(&w->names, mapping->filename);
    row.attribute_indices = w->indices;
    if (mapping->build_id != 0)
        w->indices[row.n_attribute_indices++] =
            (int32_t)attribute_text(w, OTLP_BUILD_ID, names_of(&w->values, mapping->build_id));
    if (mapping->htlhash != 0)
        w->indices[row.n_attribute_indices++] =
            (int32_t)attribute_text(w, OTLP_HTLHASH, names_of(&w->values, mapping->htlhash));
    wire_message(out, DICTIONARY_MAPPINGS, &row.base);
}

static void put_function(struct writer *w, uint32_t number, struct buffer *out)
{
    const struct profile_function *function =
        profile_get_function(w->profile, number != 0 ? w->functions.order[number] : 0);
    Otlp__Function row = OTLP__FUNCTION__INIT;
    row.name_strindex = (int32_t)names_of(&w->names, function->name);
    row.system_name_strindex = (int32_t)names_of(&w->names, function->system_name);
    row.filename_strindex = (int32_t)names_of(&w->names, function->filename);
    row.start_line = function->start_line;
    wire_message(out, DICTIONARY_FUNCTIONS, &row.base);
}

static void put_link(struct writer *w, uint32_t number, struct buffer *out)
{
    Otlp__Link row = OTLP__LINK__INIT;
    if (number != 0) { /* the first is empty: zero bytes in it are refused by some */
        const struct profile_link *link = profile_get_link(w->profile, w->links.order[number]);
        row.trace_id = (ProtobufCBinaryData){sizeof(link->trace_id), (uint8_t *)link->trace_id};
        row.span_id = (ProtobufCBinaryData){sizeof(link->span_id), (uint8_t *)link->span_id};
    }
    wire_message(out, DICTIONARY_LINKS, &row.base);
}

static void put_attribute(struct writer *w, uint32_t number, struct buffer *out)
{
    const struct profile_label *label = table_at(&w->attributes, number);
    Otlp__AnyValue value = any_value(w, label->is_number, label->number, label->text);
    Otlp__KeyValueAndUnit row = OTLP__KEY_VALUE_AND_UNIT__INIT;
    row.key_strindex = (int32_t)label->key;
    row.unit_strindex = (int32_t)label->unit;
    row.value = number != 0 ? &value : NULL;
    wire_message(out, DICTIONARY_ATTRIBUTES, &row.base);
}

/* Each table is complete when those before it have been written. */
static void write_dictionary(struct writer *w, struct buffer *out)
{
    struct buffer body = {0};
    for (uint32_t i = 0; i < w->stacks.used; i++)
        put_stack(w, i, &body);
    for (uint32_t i = 0; i < w->locations.used; i++)
        put_location(w, i, &body);
    for (uint32_t i = 0; i < w->mappings.used; i++)
        put_mapping(w, i, &body);
    for (uint32_t i = 0; i < w->functions.used; i++)
        put_function(w, i, &body);
    for (uint32_t i = 0; i < w->links.used; i++)
        put_link(w, i, &body);
    for (uint32_t i = 0; i < w->attributes.rows.count; i++)
        put_attribute(w, i, &body);
    for (uint32_t i = 0; i < names_count(&w->names); i++)
        wire_bytes(&body, DICTIONARY_STRINGS, names_at(&w->names, i)->text,
                   names_at(&w->names, i)->length);
    wire_buffer(out, DATA_DICTIONARY, &body);
    buffer_free(&body);
}

static int otlp_write(const struct profile *p, struct buffer *out)
{
    struct writer w;
    bool failed = true;
    if (profile_sample_count(p) == 0)
        return -ENODATA;
    if (writer_init(&w, p)) {
        write_resource_profiles(&w, out);
        write_dictionary(&w, out);
        failed = w.names.failed || w.values.failed;
    }
    writer_free(&w);
    return failed ? -ENOMEM : out->error;
}

int otlp_write_resource(const struct profile *p, struct buffer *out)
{
    struct writer w;
    bool failed = true;
    if (writer_init(&w, p)) {
        put_resource(&w, out);
        failed = w.names.failed || w.values.failed;
    }
    writer_free(&w);
    return failed ? -ENOMEM : out->error;
}

static const char *const endings[] = {".otlp", ".otlp.gz", NULL};

const struct format format_otlp = {
    .name = "otlp",
    .endings = endings,
    .write = otlp_write,
    .read = otlp_read,
};
