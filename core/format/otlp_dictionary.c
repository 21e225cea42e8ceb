#include "format/otlp_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/frame_type.h"
#include "format/otlp.h"
#include "format/refuse.h"
#include "format/wire.h"

#define MOST_LISTED 256 /* values of an attribute; longer lists are left out */

bool otlp_reader_init(struct otlp_reader *r)
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

void otlp_reader_free(struct otlp_reader *r)
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

int otlp_check(struct otlp_reader *r, int32_t index, size_t count, const char *what)
{
    if (index < 0 || (size_t)index >= count)
        return refuse(r->error, "index %d names a %s of %zu", index, what, count);
    return 0;
}

/* Strings and attributes */

int otlp_read_string(struct otlp_reader *r, int32_t index, profile_id *id)
{
    *id = 0;
    TRY(otlp_check(r, index, r->dictionary->n_string_table, "string"));
    *id = r->strings[index];
    return 0;
}

profile_id otlp_intern_text(struct otlp_reader *r, const ProtobufCBinaryData *text)
{
    return profile_string_n(r->p, (const char *)text->data, text->len);
}

/* Values as labels hold them: integers are numbers, all else is text. Lists and maps have no
 * place in a label: *id stays 0. */
static int read_value(struct otlp_reader *r, const Otlp__AnyValue *value,
                      struct profile_label *label)
{
    char text[32];
    if (value == NULL)
        return 0;
    switch (value->value_case) {
    case OTLP__ANY_VALUE__VALUE_STRING_VALUE:
        label->text = otlp_intern_text(r, &value->string_value);
        return 0;
    case OTLP__ANY_VALUE__VALUE_STRING_VALUE_STRINDEX:
        return otlp_read_string(r, value->string_value_strindex, &label->text);
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

int otlp_read_strings(struct otlp_reader *r)
{
    for (size_t i = 0; i < r->dictionary->n_string_table; i++)
        r->strings[i] = otlp_intern_text(r, &r->dictionary->string_table[i]);
    return 0;
}

/* A list's values are labels of its key; lists and maps in it are left out. */
static int read_list_values(struct otlp_reader *r, const Otlp__ArrayValue *in,
                            struct otlp_attribute *to)
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

static int read_list(struct otlp_reader *r, const ProtobufCBinaryData *list,
                     struct otlp_attribute *to)
{
    struct wire_tree tree = {0};
    int status =
        wire_unpack(&tree, &otlp__array_value__descriptor, list->data, list->len, r->error);
    if (status == 0)
        status = read_list_values(r, (const Otlp__ArrayValue *)tree.message, to);
    wire_release(&tree);
    return status;
}

static int read_attributes(struct otlp_reader *r)
{
    for (size_t i = 0; i < r->dictionary->n_attribute_table; i++) {
        const Otlp__KeyValueAndUnit *in = r->dictionary->attribute_table[i];
        struct profile_label *label = &r->attributes[i].label;
        TRY(otlp_read_string(r, in->key_strindex, &label->key));
        TRY(otlp_read_string(r, in->unit_strindex, &label->unit));
        if (in->value != NULL && in->value->value_case == OTLP__ANY_VALUE__VALUE_ARRAY_VALUE)
            TRY(read_list(r, &in->value->array_value, &r->attributes[i]));
        else
            TRY(read_value(r, in->value, label));
    }
    return 0;
}

/* The text of the attribute `key` among those of a row; 0: it has none. */
static int find_attribute(struct otlp_reader *r, const int32_t *indices, size_t count,
                          const char *key, profile_id *text)
{
    *text = 0;
    for (size_t i = 0; i < count; i++) {
        TRY(otlp_check(r, indices[i], r->dictionary->n_attribute_table, "attribute"));
        if (strcmp(profile_text(r->p, r->attributes[indices[i]].label.key), key) == 0)
            *text = r->attributes[indices[i]].label.text;
    }
    return 0;
}

/* Tables */

static int read_mappings(struct otlp_reader *r)
{
    for (size_t i = 0; i < r->dictionary->n_mapping_table; i++) {
        const Otlp__Mapping *in = r->dictionary->mapping_table[i];
        struct profile_mapping mapping = {
            .start = in->memory_start,
            .limit = in->memory_limit,
            .file_offset = in->file_offset,
        };
        TRY(otlp_read_string(r, in->filename_strindex, &mapping.filename));
        TRY(find_attribute(r, in->attribute_indices, in->n_attribute_indices, OTLP_BUILD_ID,
                           &mapping.build_id));
        TRY(find_attribute(r, in->attribute_indices, in->n_attribute_indices, OTLP_HTLHASH,
                           &mapping.htlhash));
        r->mappings[i] = profile_mapping(r->p, &mapping);
    }
    return 0;
}

static int read_functions(struct otlp_reader *r)
{
    for (size_t i = 0; i < r->dictionary->n_function_table; i++) {
        const Otlp__Function *in = r->dictionary->function_table[i];
        struct profile_function function = {.start_line = in->start_line};
        TRY(otlp_read_string(r, in->name_strindex, &function.name));
        TRY(otlp_read_string(r, in->system_name_strindex, &function.system_name));
        TRY(otlp_read_string(r, in->filename_strindex, &function.filename));
        r->functions[i] = profile_function(r->p, &function);
    }
    return 0;
}

/* Those of a function; others tell nothing. */
static int read_lines(struct otlp_reader *r, const Otlp__Location *in,
                      struct profile_line *lines, uint32_t *count)
{
    for (size_t i = 0; i < in->n_lines; i++) {
        const Otlp__Line *line = in->lines[i];
        TRY(otlp_check(r, line->function_index, r->dictionary->n_function_table, "function"));
        lines[*count] = (struct profile_line){
            .function = r->functions[line->function_index],
            .line = line->line,
            .column = line->column,
        };
        *count += lines[*count].function != 0;
    }
    return 0;
}

static int read_location(struct otlp_reader *r, size_t row)
{
    const Otlp__Location *in = r->dictionary->location_table[row];
    struct profile_line *lines = row_lines(&r->lists, in->n_lines);
    if (lines == NULL)
        return refuse_memory(r->error);
    struct profile_location location = {.address = in->address, .lines = lines};
    profile_id type;
    TRY(otlp_check(r, in->mapping_index, r->dictionary->n_mapping_table, "mapping"));
    TRY(find_attribute(r, in->attribute_indices, in->n_attribute_indices, FRAME_TYPE_KEY,
                       &type));
    location.mapping = r->mappings[in->mapping_index];
    location.type = frame_type_parse(profile_text(r->p, type));
    location.other_type = location.type == CPROF_FRAME_UNKNOWN ? type : 0;
    TRY(read_lines(r, in, lines, &location.line_count));
    r->locations[row] = profile_location(r->p, &location);
    return 0;
}

static int read_stack(struct otlp_reader *r, size_t row)
{
    const Otlp__Stack *in = r->dictionary->stack_table[row];
    profile_id *frames = row_frames(&r->lists, in->n_location_indices);
    if (frames == NULL)
        return refuse_memory(r->error);
    for (size_t i = 0; i < in->n_location_indices; i++) {
        TRY(otlp_check(r, in->location_indices[i], r->dictionary->n_location_table,
                       "location"));
        frames[i] = r->locations[in->location_indices[i]];
    }
    r->stacks[row] = profile_stack(r->p, frames, in->n_location_indices);
    return 0;
}

static int read_link(struct otlp_reader *r, size_t row)
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

int otlp_read_dictionary(struct otlp_reader *r)
{
    TRY(otlp_read_strings(r));
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

int otlp_read_attribute(struct otlp_reader *r, const Otlp__KeyValue *in,
                        struct profile_label *label)
{
    *label = (struct profile_label){0};
    if (in->key_strindex != 0)
        TRY(otlp_read_string(r, in->key_strindex, &label->key));
    else
        label->key = otlp_intern_text(r, &in->key);
    return read_value(r, in->value, label);
}
