#include "format/pprof.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/format.h"
#include "format/frame_type.h"
#include "format/gzip.h"
#include "format/id_map.h"
#include "format/refuse.h"
#include "format/row.h"
#include "format/wire.h"
#include "pprof.pb-c.h"
#include "profile/hex.h"

/* The tables are walked where they lie in the input, one pass each, since a row may name
 * another that comes later in the file: strings, mappings, functions, locations, samples. */
enum field {
    FIELD_SAMPLE = 2,
    FIELD_MAPPING = 3,
    FIELD_LOCATION = 4,
    FIELD_FUNCTION = 5,
    FIELD_STRING = 6,
    FIELD_TABLES, /* fields below are tables, from FIELD_SAMPLE on */
};

struct reader {
    struct wire_cursor in;
    size_t rows[FIELD_TABLES]; /* of each table */
    struct wire_tree row;      /* the one that is read */
    struct wire_tree rest;     /* a profile with everything but the tables */
    const Pprof__Profile *head;
    struct profile *p;
    char *error;
    profile_id *strings; /* by row of the input's string table, as are the arrays below */
    struct id_map mapping_ids, function_ids, location_ids;
    profile_id *mappings, *functions, *locations;
    enum cprof_frame_type *mapping_types; /* of the frames that lie in it */
    struct row lists;
};

static int read_string(struct reader *r, int64_t index, profile_id *id)
{
    *id = 0;
    if (index < 0 || (uint64_t)index >= r->rows[FIELD_STRING])
        return refuse(r->error, "names string %" PRId64 " of %zu", index,
                      r->rows[FIELD_STRING]);
    *id = r->strings[index];
    return 0;
}

/* The next row of a table; false at the end. */
static bool next_row(struct wire_cursor *cursor, enum field table, struct wire_field *row)
{
    while (wire_next(cursor, row) > 0)
        if (row->number == table)
            return true;
    return false;
}

static int read_strings(struct reader *r)
{
    struct wire_cursor cursor = r->in;
    struct wire_field text;
    for (size_t i = 0; next_row(&cursor, FIELD_STRING, &text); i++) {
        if (i == 0 && text.size != 0)
            break;
        r->strings[i] = profile_string_n(r->p, (const char *)text.data, text.size);
    }
    if (cursor.at != cursor.end || r->rows[FIELD_STRING] == 0)
        return refuse(r->error, "the string table does not begin with the empty string");
    return 0;
}

static int read_value_types(struct reader *r)
{
    const Pprof__Profile *in = r->head;
    if (in->n_sample_type == 0)
        return refuse(r->error, "no sample types");
    if (in->n_sample_type > PROFILE_MAX_VALUES)
        return refuse(r->error, "%zu sample types; at most %d are supported", in->n_sample_type,
                      PROFILE_MAX_VALUES);
    for (size_t i = 0; i < in->n_sample_type; i++) {
        profile_id type, unit;
        TRY(read_string(r, in->sample_type[i]->type, &type));
        TRY(read_string(r, in->sample_type[i]->unit, &unit));
        int status =
            profile_add_value_type(r->p, profile_text(r->p, type), profile_text(r->p, unit));
        if (status == -EEXIST)
            return refuse(r->error, "two sample types are \"%.40s\"", profile_text(r->p, type));
        if (status != 0)
            return refuse_memory(r->error);
    }
    return 0;
}

static int name_row(struct reader *r, struct id_map *map, uint64_t id, const char *what)
{
    if (id == 0)
        return refuse(r->error, "a %s has the id 0", what);
    int status = id_map_add(map, id);
    if (status == -EEXIST)
        return refuse(r->error, "two %ss have the id %" PRIu64, what, id);
    return status == 0 ? 0 : refuse_memory(r->error);
}

/* The type in "[type]", or unknown. */
static enum cprof_frame_type bracketed_type(const char *file)
{
    char word[16];
    size_t length = strnlen(file, sizeof(word));
    if (length < 3 || length == sizeof(word) || file[0] != '[' || file[length - 1] != ']')
        return CPROF_FRAME_UNKNOWN;
    memcpy(word, file + 1, length - 2);
    word[length - 2] = '\0';
    return frame_type_parse(word);
}

/* A build id that says it is one of those is the htlhash. */
static void take_htlhash(struct reader *r, struct profile_mapping *mapping)
{
    const size_t prefix = strlen(PPROF_HTLHASH_PREFIX);
    const char *text = profile_text(r->p, mapping->build_id);
    if (profile_text_length(r->p, mapping->build_id) > PPROF_HTLHASH_MAX ||
        strncmp(text, PPROF_HTLHASH_PREFIX, prefix) != 0)
        return;
    mapping->htlhash = profile_string(r->p, text + prefix);
    mapping->build_id = 0;
}

static int read_mapping(struct reader *r, size_t row)
{
    const Pprof__Mapping *in = (const Pprof__Mapping *)r->row.message;
    struct profile_mapping mapping = {
        .start = in->memory_start,
        .limit = in->memory_limit,
        .file_offset = in->file_offset,
    };
    TRY(name_row(r, &r->mapping_ids, in->id, "mapping"));
    TRY(read_string(r, in->filename, &mapping.filename));
    TRY(read_string(r, in->build_id, &mapping.build_id));
    const char *file = profile_text(r->p, mapping.filename);
    enum cprof_frame_type type = bracketed_type(file);
    if (type != CPROF_FRAME_UNKNOWN && mapping.limit == 0 && mapping.build_id == 0) {
        r->mapping_types[row] = type; /* only there to say so */
        return 0;
    }
    take_htlhash(r, &mapping);
    bool kernel = strncmp(file, PPROF_KERNEL_PREFIX, strlen(PPROF_KERNEL_PREFIX)) == 0;
    r->mappings[row] = profile_mapping(r->p, &mapping);
    if (r->mappings[row] != 0)
        r->mapping_types[row] = kernel ? CPROF_FRAME_KERNEL : CPROF_FRAME_NATIVE;
    return 0;
}

static int read_function(struct reader *r, size_t row)
{
    const Pprof__Function *in = (const Pprof__Function *)r->row.message;
    struct profile_function function = {.start_line = in->start_line};
    TRY(name_row(r, &r->function_ids, in->id, "function"));
    TRY(read_string(r, in->name, &function.name));
    TRY(read_string(r, in->system_name, &function.system_name));
    TRY(read_string(r, in->filename, &function.filename));
    r->functions[row] = profile_function(r->p, &function);
    return 0;
}

static int read_lines(struct reader *r, const Pprof__Location *in, struct profile_line *lines)
{
    for (size_t i = 0; i < in->n_line; i++) {
        const Pprof__Line *line = in->line[i];
        size_t function = id_map_find(&r->function_ids, line->function_id);
        if (function == ID_MAP_NONE && line->function_id != 0)
            return refuse(r->error,
                          "location %" PRIu64 " names function %" PRIu64 ", which is missing",
                          in->id, line->function_id);
        lines[i] = (struct profile_line){
            .function = line->function_id != 0 ? r->functions[function] : 0,
            .line = line->line,
            .column = line->column,
        };
    }
    return 0;
}

static int read_location(struct reader *r, size_t row)
{
    const Pprof__Location *in = (const Pprof__Location *)r->row.message;
    struct profile_line *lines = row_lines(&r->lists, in->n_line);
    if (lines == NULL)
        return refuse_memory(r->error);
    struct profile_location location = {
        .address = in->address,
        .folded = in->is_folded != 0,
        .line_count = (uint32_t)in->n_line,
        .lines = lines,
    };
    TRY(name_row(r, &r->location_ids, in->id, "location"));
    if (in->mapping_id != 0) {
        size_t mapping = id_map_find(&r->mapping_ids, in->mapping_id);
        if (mapping == ID_MAP_NONE)
            return refuse(r->error,
                          "location %" PRIu64 " names mapping %" PRIu64 ", which is missing",
                          in->id, in->mapping_id);
        location.mapping = r->mappings[mapping];
        location.type = r->mapping_types[mapping];
    }
    TRY(read_lines(r, in, lines));
    r->locations[row] = profile_location(r->p, &location);
    return 0;
}

/* Takes a label as (a part of) the link when that is what it is. */
static bool read_link_label(struct reader *r, const Pprof__Label *in, struct profile_link *link)
{
    static const struct profile_link none;
    const char *key = profile_text(r->p, r->strings[in->key]);
    const char *text = profile_text(r->p, r->strings[in->str]);
    struct profile_link read;
    if (strcmp(key, PPROF_TRACE_ID) == 0 &&
        hex_read(text, read.trace_id, sizeof(read.trace_id)) &&
        memcmp(read.trace_id, none.trace_id, sizeof(none.trace_id)) != 0) {
        memcpy(link->trace_id, read.trace_id, sizeof(read.trace_id));
        return true;
    }
    if (strcmp(key, PPROF_SPAN_ID) == 0 && hex_read(text, read.span_id, sizeof(read.span_id)) &&
        memcmp(read.span_id, none.span_id, sizeof(none.span_id)) != 0) {
        memcpy(link->span_id, read.span_id, sizeof(read.span_id));
        return true;
    }
    return false;
}

/* --- samples ---
 *
 * They are nearly all of a file, and nearly all of them are small numbers: these are read where
 * they lie. Only labels are unpacked. */

/* What is put together of one sample. */
struct sample {
    size_t number; /* in the file */
    profile_id *frames;
    struct profile_label *labels;
    size_t depth, label_count, value_count;
    struct profile_link link;
    int64_t values[PROFILE_MAX_VALUES];
};

static int read_frames(struct reader *r, struct wire_cursor ids, struct sample *sample)
{
    uint64_t id;
    while (ids.at != ids.end) {
        if (!wire_next_number(&ids, &id))
            return refuse(r->error, "sample %zu is damaged", sample->number);
        size_t location = id_map_find(&r->location_ids, id);
        if (location == ID_MAP_NONE)
            return refuse(r->error, "sample %zu names location %" PRIu64 ", which is missing",
                          sample->number, id);
        sample->frames[sample->depth++] = r->locations[location];
    }
    return 0;
}

static int read_values(struct reader *r, struct wire_cursor values, struct sample *sample)
{
    uint64_t value;
    while (values.at != values.end) {
        if (!wire_next_number(&values, &value))
            return refuse(r->error, "sample %zu is damaged", sample->number);
        if (sample->value_count < PROFILE_MAX_VALUES)
            sample->values[sample->value_count] = (int64_t)value;
        sample->value_count++;
    }
    return 0;
}

static int read_label(struct reader *r, const struct wire_field *field, struct sample *sample)
{
    TRY(wire_unpack(&r->row, &pprof__label__descriptor, field->data, field->size, r->error));
    const Pprof__Label *in = (const Pprof__Label *)r->row.message;
    struct profile_label *to = &sample->labels[sample->label_count];
    *to = (struct profile_label){.number = in->num, .is_number = in->str == 0};
    TRY(read_string(r, in->key, &to->key));
    TRY(read_string(r, in->str, &to->text));
    TRY(read_string(r, in->num_unit, &to->unit));
    if (!read_link_label(r, in, &sample->link))
        sample->label_count++;
    return 0;
}

static int read_sample_field(struct reader *r, const struct wire_field *field,
                             struct sample *sample)
{
    enum { LOCATION_ID = 1, VALUE = 2, LABEL = 3 };
    const struct wire_cursor content = {field->data, field->data + field->size};
    bool is_list = field->type == WIRE_LENGTH || field->type == WIRE_VARINT;
    if (field->number == LOCATION_ID && is_list)
        return read_frames(r, content, sample);
    if (field->number == VALUE && is_list)
        return read_values(r, content, sample);
    if (field->number == LABEL && field->type == WIRE_LENGTH)
        return read_label(r, field, sample);
    return 0;
}

static int read_sample(struct reader *r, const struct wire_field *row, size_t number)
{
    struct wire_cursor cursor = {row->data, row->data + row->size};
    struct wire_field field;
    /* A location takes a byte at least, a label two. */
    struct sample sample = {
        .number = number,
        .frames = row_frames(&r->lists, row->size),
        .labels = row_labels(&r->lists, row->size / 2),
    };
    int status;
    if (sample.frames == NULL || sample.labels == NULL)
        return refuse_memory(r->error);
    while ((status = wire_next(&cursor, &field)) > 0)
        TRY(read_sample_field(r, &field, &sample));
    if (status != 0)
        return refuse(r->error, "sample %zu is damaged", number);
    if (sample.value_count != r->head->n_sample_type)
        return refuse(r->error, "sample %zu has %zu values for %zu sample types", number,
                      sample.value_count, r->head->n_sample_type);
    profile_id link = profile_link(r->p, &sample.link);
    profile_id labels = profile_labels(r->p, sample.labels, sample.label_count);
    profile_id stack = profile_stack(r->p, sample.frames, sample.depth);
    status = profile_add(r->p, stack, link, labels, sample.values);
    return status == 0 ? 0 : refuse_memory(r->error);
}

static int read_samples(struct reader *r)
{
    struct wire_cursor cursor = r->in;
    struct wire_field row;
    for (size_t i = 0; next_row(&cursor, FIELD_SAMPLE, &row); i++)
        TRY(read_sample(r, &row, i));
    return 0;
}

/* Header and comments */

static bool parse_number(const char *text, int64_t *number)
{
    char *end;
    if (text[*text == '-'] < '0' || text[*text == '-'] > '9')
        return false;
    errno = 0;
    *number = strtoll(text, &end, 10);
    return errno == 0 && *end == '\0';
}

/* "key=value" as pprof.h tells; 1: the comment is none. */
static int read_attribute(struct reader *r, const char *comment)
{
    enum profile_attributes which = PROFILE_RESOURCE;
    if (strncmp(comment, PPROF_PROFILE_PREFIX, strlen(PPROF_PROFILE_PREFIX)) == 0) {
        which = PROFILE_ATTRIBUTES;
        comment += strlen(PPROF_PROFILE_PREFIX);
    }
    size_t key_length = strspn(comment, PPROF_KEY_CHARACTERS);
    if (key_length == 0 || comment[key_length] != '=')
        return 1;
    char *key = strndup(comment, key_length);
    char *value = strdup(comment + key_length + 1);
    int64_t number;
    int status = -ENOMEM;
    if (key != NULL && value != NULL) {
        size_t length = strlen(value);
        bool quoted = length >= 2 && value[0] == '"' && value[length - 1] == '"';
        if (quoted)
            value[length - 1] = '\0';
        status = !quoted && parse_number(value, &number)
                     ? profile_set_number(r->p, which, key, number)
                     : profile_set_text(r->p, which, key, value + quoted);
    }
    free(key);
    free(value);
    return status;
}

static int read_comment(struct reader *r, int64_t index)
{
    profile_id text;
    TRY(read_string(r, index, &text));
    int status = read_attribute(r, profile_text(r->p, text));
    if (status == 1)
        status = profile_set_text(r->p, PROFILE_COMMENTS, "", profile_text(r->p, text));
    if (status == -ENOSPC)
        return refuse(r->error, "more than %d comments", PROFILE_MAX_ATTRIBUTES);
    return status == 0 ? 0 : refuse_memory(r->error);
}

static int read_header(struct reader *r)
{
    const Pprof__Profile *in = r->head;
    struct profile_header *h = profile_header(r->p);
    h->time_ns = in->time_nanos > 0 ? (uint64_t)in->time_nanos : 0;
    h->duration_ns = in->duration_nanos > 0 ? (uint64_t)in->duration_nanos : 0;
    h->period = in->period;
    if (in->period_type != NULL) {
        TRY(read_string(r, in->period_type->type, &h->period_type.type));
        TRY(read_string(r, in->period_type->unit, &h->period_type.unit));
    }
    TRY(read_string(r, in->drop_frames, &h->drop_frames));
    TRY(read_string(r, in->keep_frames, &h->keep_frames));
    TRY(read_string(r, in->default_sample_type, &h->default_type));
    TRY(read_string(r, in->doc_url, &h->doc_url));
    for (size_t i = 0; i < in->n_comment; i++)
        TRY(read_comment(r, in->comment[i]));
    return 0;
}

/* The whole */

/* Counts the rows of each table, and unpacks all else. */
static int read_head(struct reader *r)
{
    struct wire_cursor cursor = r->in;
    struct wire_field field;
    struct buffer head = {0};
    int status;
    while ((status = wire_next(&cursor, &field)) > 0) {
        if (field.number < FIELD_SAMPLE || field.number >= FIELD_TABLES)
            buffer_append(&head, field.start, (size_t)(cursor.at - field.start));
        else if (field.type == WIRE_LENGTH)
            r->rows[field.number]++;
        else
            break;
    }
    if (status != 0)
        status = refuse(r->error, "not a valid pprof.Profile message: damaged at byte %zu",
                        (size_t)(field.start - r->in.at));
    else if (head.error != 0)
        status = refuse_memory(r->error);
    else
        status =
            wire_unpack(&r->rest, &pprof__profile__descriptor, head.data, head.size, r->error);
    buffer_free(&head);
    r->head = (const Pprof__Profile *)r->rest.message;
    return status;
}

static bool reader_init(struct reader *r)
{
    r->strings = calloc(r->rows[FIELD_STRING] + 1, sizeof(*r->strings));
    r->mappings = calloc(r->rows[FIELD_MAPPING] + 1, sizeof(*r->mappings));
    r->mapping_types = calloc(r->rows[FIELD_MAPPING] + 1, sizeof(*r->mapping_types));
    r->functions = calloc(r->rows[FIELD_FUNCTION] + 1, sizeof(*r->functions));
    r->locations = calloc(r->rows[FIELD_LOCATION] + 1, sizeof(*r->locations));
    /* Each of these is initialised, so that each can be freed. */
    bool maps = id_map_init(&r->mapping_ids, r->rows[FIELD_MAPPING]);
    maps = id_map_init(&r->function_ids, r->rows[FIELD_FUNCTION]) && maps;
    maps = id_map_init(&r->location_ids, r->rows[FIELD_LOCATION]) && maps;
    r->p = profile_new(NULL);
    return maps && r->strings != NULL && r->mappings != NULL && r->mapping_types != NULL &&
           r->functions != NULL && r->locations != NULL && r->p != NULL;
}

static void reader_free(struct reader *r)
{
    free(r->strings);
    free(r->mappings);
    free(r->mapping_types);
    free(r->functions);
    free(r->locations);
    id_map_free(&r->mapping_ids);
    id_map_free(&r->function_ids);
    id_map_free(&r->location_ids);
    row_free(&r->lists);
    wire_release(&r->row);
    wire_release(&r->rest);
}

static int read_table(struct reader *r, enum field table,
                      const ProtobufCMessageDescriptor *type,
                      int (*read)(struct reader *r, size_t row))
{
    struct wire_cursor cursor = r->in;
    struct wire_field field;
    for (size_t row = 0; next_row(&cursor, table, &field); row++) {
        TRY(wire_unpack(&r->row, type, field.data, field.size, r->error));
        TRY(read(r, row));
    }
    return 0;
}

static int read_profile(struct reader *r)
{
    TRY(read_strings(r));
    TRY(read_value_types(r));
    TRY(read_table(r, FIELD_MAPPING, &pprof__mapping__descriptor, read_mapping));
    TRY(read_table(r, FIELD_FUNCTION, &pprof__function__descriptor, read_function));
    TRY(read_table(r, FIELD_LOCATION, &pprof__location__descriptor, read_location));
    TRY(read_samples(r));
    TRY(read_header(r));
    return profile_error(r->p) == 0 ? 0 : refuse_memory(r->error);
}

static struct profile *read_raw(const unsigned char *data, size_t size,
                                char error[FORMAT_ERROR_SIZE])
{
    struct reader r = {.in = {data, data + size}, .error = error};
    int status = read_head(&r);
    if (status == 0)
        status = reader_init(&r) ? read_profile(&r) : refuse_memory(r.error);
    reader_free(&r);
    if (status == 0)
        return r.p;
    profile_free(r.p);
    return NULL;
}

struct profile *pprof_read(const unsigned char *data, size_t size,
                           char error[FORMAT_ERROR_SIZE])
{
    return gzip_read(data, size, read_raw, error);
}
