#include "format/pprof.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/batch.h"
#include "format/format.h"
#include "format/frame_type.h"
#include "format/gzip.h"
#include "format/id_map.h"
#include "format/refuse.h"
#include "format/row.h"
#include "format/wire.h"
#include "pprof.pb-c.h"
#include "profile/combine.h"
#include "profile/hex.h"
#include "profile/prune.h"

/* The tables are walked where they lie in the input, one pass each, since a row may name
 * another that comes later in the file: strings, mappings, functions, locations, samples. Rows
 * are few numbers each, and read by hand: unpacking them into objects would take longer than
 * all else. */
enum field {
    FIELD_SAMPLE = 2,
    FIELD_MAPPING = 3,
    FIELD_LOCATION = 4,
    FIELD_FUNCTION = 5,
    FIELD_STRING = 6,
    FIELD_TABLES, /* fields below are tables, from FIELD_SAMPLE on */
};

/* Between the first row of a table and its last most files have nothing else. */
struct table_place {
    struct wire_cursor range;
    size_t rows;
};

/* The frames that lie in a mapping. */
struct mapping_type {
    enum cprof_frame_type type;
    profile_id other; /* the word of a type that is none of those */
};

struct reader {
    struct wire_cursor in;
    struct table_place tables[FIELD_TABLES];
    struct wire_tree rest; /* a profile with everything but the tables */
    const Pprof__Profile *in_head;
    struct profile *head; /* the same, as profile_merge_head() takes it */
    struct profile_place places[PROFILE_MAX_VALUES]; /* in the sum, for each sample type */
    struct profile *p;                               /* the sum */
    char *error;
    profile_id *strings; /* by row of the input's string table, as are the arrays below */
    struct id_map mapping_ids, function_ids, location_ids;
    profile_id *mappings, *functions, *locations;
    struct mapping_type *mapping_types;
    struct row lists;
    struct batch batch;
};

static int read_string(struct reader *r, uint64_t index, profile_id *id)
{
    *id = 0;
    if (index >= r->tables[FIELD_STRING].rows)
        return refuse(r->error, "names string %" PRId64 " of %zu", (int64_t)index,
                      r->tables[FIELD_STRING].rows);
    *id = r->strings[index];
    return 0;
}

/* Calls `each` for the rows of a table, until one fails. */
static int for_each_row(struct reader *r, enum field table,
                        int (*each)(struct reader *r, struct wire_cursor row, size_t number))
{
    struct wire_cursor cursor = r->tables[table].range;
    struct wire_field field;
    for (size_t number = 0; wire_next(&cursor, &field) > 0;)
        if (field.number == table)
            TRY(each(r, wire_content(&field), number++));
    return 0;
}

static int read_numbers(struct reader *r, const char *what, struct wire_cursor row,
                        size_t number, uint64_t *numbers, uint32_t last)
{
    if (wire_read_numbers(row, numbers, last) == 0)
        return 0;
    return refuse(r->error, "%s %zu is damaged", what, number);
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

/* --- strings, mappings, functions, locations --- */

static int read_text(struct reader *r, struct wire_cursor text, size_t row)
{
    size_t length = (size_t)(text.end - text.at);
    if (row == 0 && length != 0)
        return refuse(r->error, "the string table does not begin with the empty string");
    r->strings[row] = profile_string_n(r->p, (const char *)text.at, length);
    return 0;
}

/* The type in "[type]"; false: the file is no such word. The kernel has names in brackets as
 * well, of what lies somewhere. */
static bool bracketed_type(struct reader *r, const char *file, struct mapping_type *type)
{
    char word[PPROF_TYPE_MAX];
    size_t length = strnlen(file, sizeof(word));
    if (length < 3 || length == sizeof(word) || file[0] != '[' || file[length - 1] != ']')
        return false;
    memcpy(word, file + 1, length - 2);
    word[length - 2] = '\0';
    type->type = frame_type_parse(word);
    if (type->type == CPROF_FRAME_UNKNOWN && pprof_is_type(word))
        type->other = profile_string(r->p, word);
    return type->type != CPROF_FRAME_UNKNOWN || type->other != 0;
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

static int read_mapping(struct reader *r, struct wire_cursor content, size_t row)
{
    enum { ID = 1, START, LIMIT, OFFSET, FILENAME, BUILD_ID, HAS_FUNCTIONS, HAS_INLINED = 10 };
    uint64_t in[HAS_INLINED + 1];
    TRY(read_numbers(r, "mapping", content, row, in, HAS_INLINED));
    struct profile_mapping mapping = {
        .start = in[START], .limit = in[LIMIT], .file_offset = in[OFFSET]};
    TRY(name_row(r, &r->mapping_ids, in[ID], "mapping"));
    TRY(read_string(r, in[FILENAME], &mapping.filename));
    TRY(read_string(r, in[BUILD_ID], &mapping.build_id));
    const char *file = profile_text(r->p, mapping.filename);
    if (mapping.limit == 0 && mapping.build_id == 0 &&
        bracketed_type(r, file, &r->mapping_types[row]))
        return 0; /* only there to say so */
    take_htlhash(r, &mapping);
    bool blank = mapping.filename == 0 && mapping.build_id == 0 && mapping.limit == 0 &&
                 mapping.start == 0 && mapping.file_offset == 0 && mapping.htlhash == 0;
    if (blank)
        return 0; /* says nothing of any code */
    mapping.symbols = PROFILE_SYMBOLS_TOLD;
    for (unsigned i = 0; i <= HAS_INLINED - HAS_FUNCTIONS; i++)
        mapping.symbols |=
            in[HAS_FUNCTIONS + i] != 0 ? (uint32_t)PROFILE_HAS_FUNCTIONS << i : 0;
    bool kernel = strncmp(file, PPROF_KERNEL_PREFIX, strlen(PPROF_KERNEL_PREFIX)) == 0;
    r->mappings[row] = profile_mapping(r->p, &mapping);
    r->mapping_types[row].type = kernel ? CPROF_FRAME_KERNEL : CPROF_FRAME_NATIVE;
    return 0;
}

static int read_function(struct reader *r, struct wire_cursor content, size_t row)
{
    enum { ID = 1, NAME, SYSTEM_NAME, FILENAME, START_LINE };
    uint64_t in[START_LINE + 1];
    TRY(read_numbers(r, "function", content, row, in, START_LINE));
    struct profile_function function = {.start_line = (int64_t)in[START_LINE]};
    TRY(name_row(r, &r->function_ids, in[ID], "function"));
    TRY(read_string(r, in[NAME], &function.name));
    TRY(read_string(r, in[SYSTEM_NAME], &function.system_name));
    TRY(read_string(r, in[FILENAME], &function.filename));
    r->functions[row] = profile_function(r->p, &function);
    return 0;
}

enum location_field {
    LOCATION_ID = 1,
    LOCATION_MAPPING,
    LOCATION_ADDRESS,
    LOCATION_LINE,
    LOCATION_FOLDED
};

static int read_line(struct reader *r, struct wire_cursor content, uint64_t location,
                     struct profile_line *line)
{
    enum { FUNCTION_ID = 1, LINE, COLUMN };
    uint64_t in[COLUMN + 1];
    if (wire_read_numbers(content, in, COLUMN) != 0)
        return refuse(r->error, "a line of location %" PRIu64 " is damaged", location);
    *line = (struct profile_line){.line = (int64_t)in[LINE], .column = (int64_t)in[COLUMN]};
    if (in[FUNCTION_ID] == 0)
        return 0;
    size_t function = id_map_find(&r->function_ids, in[FUNCTION_ID]);
    if (function == ID_MAP_NONE)
        return refuse(r->error,
                      "location %" PRIu64 " names function %" PRIu64 ", which is missing",
                      location, in[FUNCTION_ID]);
    line->function = r->functions[function];
    return 0;
}

static int read_lines(struct reader *r, struct wire_cursor content,
                      struct profile_location *location, uint64_t id)
{
    struct wire_field field;
    /* A line takes two bytes at least. */
    struct profile_line *lines = row_lines(&r->lists, (size_t)(content.end - content.at) / 2);
    if (lines == NULL)
        return refuse_memory(r->error);
    while (wire_next(&content, &field) > 0) {
        if (field.number != LOCATION_LINE || field.type != WIRE_LENGTH)
            continue;
        struct profile_line *line = &lines[location->line_count];
        TRY(read_line(r, wire_content(&field), id, line));
        location->line_count += line->function != 0; /* one of no function tells nothing */
    }
    location->lines = lines;
    return 0;
}

static int read_location(struct reader *r, struct wire_cursor content, size_t row)
{
    uint64_t in[LOCATION_FOLDED + 1];
    TRY(read_numbers(r, "location", content, row, in, LOCATION_FOLDED));
    struct profile_location location = {.address = in[LOCATION_ADDRESS],
                                        .folded = in[LOCATION_FOLDED] != 0};
    TRY(name_row(r, &r->location_ids, in[LOCATION_ID], "location"));
    if (in[LOCATION_MAPPING] != 0) {
        size_t mapping = id_map_find(&r->mapping_ids, in[LOCATION_MAPPING]);
        if (mapping == ID_MAP_NONE)
            return refuse(r->error,
                          "location %" PRIu64 " names mapping %" PRIu64 ", which is missing",
                          in[LOCATION_ID], in[LOCATION_MAPPING]);
        location.mapping = r->mappings[mapping];
        location.type = r->mapping_types[mapping].type;
        location.other_type = r->mapping_types[mapping].other;
    }
    TRY(read_lines(r, content, &location, in[LOCATION_ID]));
    r->locations[row] = profile_location(r->p, &location);
    return 0;
}

/* --- samples --- */

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
        if (sample->value_count < profile_value_count(r->head))
            profile_put(sample->values, r->places[sample->value_count], (int64_t)value);
        sample->value_count++;
    }
    return 0;
}

/* Takes a label as (a part of) the link when that is what it is. */
static bool read_link_label(struct reader *r, const struct profile_label *label,
                            struct profile_link *link)
{
    static const struct profile_link none;
    const char *key = profile_text(r->p, label->key);
    const char *text = profile_text(r->p, label->text);
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

static int read_label(struct reader *r, struct wire_cursor content, struct sample *sample)
{
    enum { KEY = 1, TEXT, NUMBER, UNIT };
    uint64_t in[UNIT + 1];
    TRY(read_numbers(r, "a label of sample", content, sample->number, in, UNIT));
    struct profile_label *to = &sample->labels[sample->label_count];
    *to = (struct profile_label){.number = (int64_t)in[NUMBER], .is_number = in[TEXT] == 0};
    TRY(read_string(r, in[KEY], &to->key));
    TRY(read_string(r, in[TEXT], &to->text));
    TRY(read_string(r, in[UNIT], &to->unit));
    if (!read_link_label(r, to, &sample->link))
        sample->label_count++;
    return 0;
}

static int read_sample_field(struct reader *r, const struct wire_field *field,
                             struct sample *sample)
{
    enum { LOCATIONS = 1, VALUES, LABEL };
    const struct wire_cursor content = wire_content(field);
    bool is_list = field->type == WIRE_LENGTH || field->type == WIRE_VARINT;
    if (field->number == LOCATIONS && is_list)
        return read_frames(r, content, sample);
    if (field->number == VALUES && is_list)
        return read_values(r, content, sample);
    if (field->number == LABEL && field->type == WIRE_LENGTH)
        return read_label(r, content, sample);
    return 0;
}

static int add_sample(struct reader *r, const struct sample *sample)
{
    struct profile_entry entry = {
        .stack = {.depth = (uint32_t)sample->depth, .locations = sample->frames},
        .link = profile_link(r->p, &sample->link),
        .labels = profile_all_labels(r->p, sample->labels, sample->label_count),
    };
    memcpy(entry.values, sample->values, sizeof(entry.values));
    return batch_add(&r->batch, &entry) == 0 ? 0 : refuse_memory(r->error);
}

static int read_sample(struct reader *r, struct wire_cursor content, size_t number)
{
    struct wire_field field;
    size_t size = (size_t)(content.end - content.at);
    /* A location takes a byte at least, a label two. */
    struct sample sample = {
        .number = number,
        .frames = batch_frames(&r->batch, size),
        .labels = row_labels(&r->lists, size / 2),
    };
    int status;
    if (sample.frames == NULL || sample.labels == NULL)
        return refuse_memory(r->error);
    while ((status = wire_next(&content, &field)) > 0)
        TRY(read_sample_field(r, &field, &sample));
    if (status != 0)
        return refuse(r->error, "sample %zu is damaged", number);
    if (sample.value_count != profile_value_count(r->head))
        return refuse(r->error, "sample %zu has %zu values for %zu sample types", number,
                      sample.value_count, profile_value_count(r->head));
    return add_sample(r, &sample);
}

/* --- what stands once --- */

/* A string of the input in the head. */
static int read_head_string(struct reader *r, int64_t index, profile_id *id)
{
    TRY(read_string(r, (uint64_t)index, id));
    *id = profile_string_n(r->head, profile_text(r->p, *id), profile_text_length(r->p, *id));
    return 0;
}

static int read_value_types(struct reader *r)
{
    const Pprof__Profile *in = r->in_head;
    if (in->n_sample_type == 0)
        return refuse(r->error, "no sample types");
    if (in->n_sample_type > PROFILE_MAX_VALUES)
        return refuse(r->error, "%zu sample types; at most %d are supported", in->n_sample_type,
                      PROFILE_MAX_VALUES);
    for (size_t i = 0; i < in->n_sample_type; i++) {
        profile_id type, unit;
        TRY(read_head_string(r, in->sample_type[i]->type, &type));
        TRY(read_head_string(r, in->sample_type[i]->unit, &unit));
        int status = profile_add_value_type(r->head, 0, profile_text(r->head, type),
                                            profile_text(r->head, unit));
        if (status == -EEXIST)
            return refuse(r->error, "two sample types are \"%.40s\"",
                          profile_text(r->head, type));
        if (status != 0)
            return refuse_memory(r->error);
    }
    return 0;
}

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
    comment += *comment == *PPROF_HIDDEN;
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
                     ? profile_set_number(r->head, which, key, number)
                     : profile_set_text(r->head, which, key, value + quoted);
    }
    free(key);
    free(value);
    return status;
}

static int read_comment(struct reader *r, int64_t index)
{
    profile_id text;
    TRY(read_string(r, (uint64_t)index, &text));
    int status = read_attribute(r, profile_text(r->p, text));
    if (status == 1)
        status = profile_set_text(r->head, PROFILE_COMMENTS, "", profile_text(r->p, text));
    if (status == -ENOSPC)
        return refuse(r->error, "more than %d comments", PROFILE_MAX_ATTRIBUTES);
    return status == 0 ? 0 : refuse_memory(r->error);
}

static int read_header(struct reader *r)
{
    const Pprof__Profile *in = r->in_head;
    struct profile_header *h = profile_header(r->head);
    h->time_ns = in->time_nanos > 0 ? (uint64_t)in->time_nanos : 0;
    h->duration_ns = in->duration_nanos > 0 ? (uint64_t)in->duration_nanos : 0;
    struct profile_period *period = profile_period(r->head, 0);
    period->value = in->period;
    if (in->period_type != NULL) {
        TRY(read_head_string(r, in->period_type->type, &period->type.type));
        TRY(read_head_string(r, in->period_type->unit, &period->type.unit));
    }
    TRY(read_head_string(r, in->drop_frames, &h->drop_frames));
    TRY(read_head_string(r, in->keep_frames, &h->keep_frames));
    TRY(read_head_string(r, in->default_sample_type, &h->default_type));
    TRY(read_head_string(r, in->doc_url, &h->doc_url));
    for (size_t i = 0; i < in->n_comment; i++)
        TRY(read_comment(r, in->comment[i]));
    return 0;
}

static int read_head(struct reader *r)
{
    TRY(read_value_types(r));
    TRY(read_header(r));
    int status = profile_merge_head(r->p, r->head, r->places);
    r->batch.column = r->places[0].column;
    return refuse_merge(r->error, status);
}

/* --- the whole --- */

static void place_row(struct table_place *table, const struct wire_field *field,
                      const unsigned char *end)
{
    if (table->rows++ == 0)
        table->range.at = field->start;
    table->range.end = end;
}

/* Finds the tables, and unpacks all else. */
static int survey(struct reader *r)
{
    struct wire_cursor cursor = r->in;
    struct wire_field field;
    struct buffer rest = {0};
    int status;
    while ((status = wire_next(&cursor, &field)) > 0) {
        if (field.number < FIELD_SAMPLE || field.number >= FIELD_TABLES)
            buffer_append(&rest, field.start, (size_t)(cursor.at - field.start));
        else if (field.type == WIRE_LENGTH)
            place_row(&r->tables[field.number], &field, cursor.at);
        else
            break;
    }
    if (status != 0)
        status = refuse(r->error, "not a valid pprof.Profile message: damaged at byte %zu",
                        (size_t)(field.start - r->in.at));
    else if (rest.error != 0)
        status = refuse_memory(r->error);
    else
        status =
            wire_unpack(&r->rest, &pprof__profile__descriptor, rest.data, rest.size, r->error);
    buffer_free(&rest);
    r->in_head = (const Pprof__Profile *)r->rest.message;
    return status;
}

static bool reader_init(struct reader *r)
{
    const struct table_place *tables = r->tables;
    r->strings = calloc(tables[FIELD_STRING].rows + 1, sizeof(*r->strings));
    r->mappings = calloc(tables[FIELD_MAPPING].rows + 1, sizeof(*r->mappings));
    r->mapping_types = calloc(tables[FIELD_MAPPING].rows + 1, sizeof(*r->mapping_types));
    r->functions = calloc(tables[FIELD_FUNCTION].rows + 1, sizeof(*r->functions));
    r->locations = calloc(tables[FIELD_LOCATION].rows + 1, sizeof(*r->locations));
    /* Each of these is initialised, so that each can be freed. */
    bool maps = id_map_init(&r->mapping_ids, tables[FIELD_MAPPING].rows);
    maps = id_map_init(&r->function_ids, tables[FIELD_FUNCTION].rows) && maps;
    maps = id_map_init(&r->location_ids, tables[FIELD_LOCATION].rows) && maps;
    r->head = profile_new(NULL);
    return maps && r->strings != NULL && r->mappings != NULL && r->mapping_types != NULL &&
           r->functions != NULL && r->locations != NULL && r->head != NULL;
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
    batch_free(&r->batch);
    wire_release(&r->rest);
    profile_free(r->head);
}

static int read_profile(struct reader *r)
{
    if (r->tables[FIELD_STRING].rows == 0)
        return refuse(r->error, "the string table does not begin with the empty string");
    TRY(for_each_row(r, FIELD_STRING, read_text));
    TRY(read_head(r));
    TRY(for_each_row(r, FIELD_MAPPING, read_mapping));
    TRY(for_each_row(r, FIELD_FUNCTION, read_function));
    TRY(for_each_row(r, FIELD_LOCATION, read_location));
    TRY(for_each_row(r, FIELD_SAMPLE, read_sample));
    bool whole = batch_flush(&r->batch) == 0 && profile_error(r->p) == 0;
    return whole ? 0 : refuse_memory(r->error);
}

/* A file that says which frames to leave out is read on its own, as its rules are not those of
 * others. Rules that are not known leave all in. */
static int read_and_prune(struct reader *r)
{
    struct profile *sum = r->p, *pruned = NULL;
    struct profile *whole = r->p = r->batch.profile = profile_new(NULL);
    int status = whole != NULL ? read_profile(r) : refuse_memory(r->error);
    if (status == 0 && profile_prune(whole, &pruned) == -ENOMEM)
        status = refuse_memory(r->error);
    if (status == 0)
        status = refuse_merge(r->error, profile_merge(sum, pruned != NULL ? pruned : whole));
    profile_free(pruned);
    profile_free(whole);
    return status;
}

static int read_raw(const unsigned char *data, size_t size, struct profile *sum,
                    char error[FORMAT_ERROR_SIZE])
{
    struct reader r = {
        .in = {data, data + size}, .p = sum, .batch.profile = sum, .error = error};
    int status = survey(&r);
    if (status == 0 && !reader_init(&r))
        status = refuse_memory(r.error);
    if (status == 0)
        status = r.in_head->drop_frames != 0 ? read_and_prune(&r) : read_profile(&r);
    reader_free(&r);
    return status;
}

int pprof_read(const unsigned char *data, size_t size, struct profile *sum,
               char error[FORMAT_ERROR_SIZE])
{
    return gzip_read(data, size, sum, read_raw, error);
}
