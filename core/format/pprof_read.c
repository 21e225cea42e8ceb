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
#include "format/wire.h"
#include "pprof.pb-c.h"
#include "profile/hex.h"

struct reader {
    const Pprof__Profile *in;
    struct profile *p;
    char *error;
    profile_id *strings; /* by row of the input's string table, as are the arrays below */
    struct id_map mapping_ids, function_ids, location_ids;
    profile_id *mappings, *functions, *locations;
    enum cprof_frame_type *mapping_types; /* of the frames that lie in it */
    profile_id *frames;                   /* of one sample; room for the deepest */
    struct profile_label *labels;         /* of one sample; room for the most */
    struct profile_line *lines;           /* of one location; room for the most */
};

static int read_string(struct reader *r, int64_t index, profile_id *id)
{
    *id = 0;
    if (index < 0 || (uint64_t)index >= r->in->n_string_table)
        return refuse(r->error, "names string %" PRId64 " of %zu", index,
                      r->in->n_string_table);
    *id = r->strings[index];
    return 0;
}

static int read_strings(struct reader *r)
{
    for (size_t i = 0; i < r->in->n_string_table; i++) {
        const ProtobufCBinaryData *text = &r->in->string_table[i];
        r->strings[i] = profile_string_n(r->p, (const char *)text->data, text->len);
    }
    if (r->in->n_string_table == 0 || r->in->string_table[0].len != 0)
        return refuse(r->error, "the string table does not begin with the empty string");
    return 0;
}

static int read_value_types(struct reader *r)
{
    if (r->in->n_sample_type == 0)
        return refuse(r->error, "no sample types");
    if (r->in->n_sample_type > PROFILE_MAX_VALUES)
        return refuse(r->error, "%zu sample types; at most %d are supported",
                      r->in->n_sample_type, PROFILE_MAX_VALUES);
    for (size_t i = 0; i < r->in->n_sample_type; i++) {
        profile_id type, unit;
        TRY(read_string(r, r->in->sample_type[i]->type, &type));
        TRY(read_string(r, r->in->sample_type[i]->unit, &unit));
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
    const Pprof__Mapping *in = r->in->mapping[row];
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
    const Pprof__Function *in = r->in->function[row];
    struct profile_function function = {.start_line = in->start_line};
    TRY(name_row(r, &r->function_ids, in->id, "function"));
    TRY(read_string(r, in->name, &function.name));
    TRY(read_string(r, in->system_name, &function.system_name));
    TRY(read_string(r, in->filename, &function.filename));
    r->functions[row] = profile_function(r->p, &function);
    return 0;
}

static int read_location(struct reader *r, size_t row)
{
    const Pprof__Location *in = r->in->location[row];
    struct profile_location location = {
        .address = in->address,
        .folded = in->is_folded != 0,
        .line_count = (uint32_t)in->n_line,
        .lines = r->lines,
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
    for (size_t i = 0; i < in->n_line; i++) {
        const Pprof__Line *line = in->line[i];
        size_t function = id_map_find(&r->function_ids, line->function_id);
        if (function == ID_MAP_NONE && line->function_id != 0)
            return refuse(r->error,
                          "location %" PRIu64 " names function %" PRIu64 ", which is missing",
                          in->id, line->function_id);
        r->lines[i] = (struct profile_line){
            .function = line->function_id != 0 ? r->functions[function] : 0,
            .line = line->line,
            .column = line->column,
        };
    }
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

static int read_labels(struct reader *r, const Pprof__Sample *in, profile_id *link,
                       profile_id *labels)
{
    struct profile_link read = {0};
    size_t count = 0;
    for (size_t i = 0; i < in->n_label; i++) {
        const Pprof__Label *label = in->label[i];
        struct profile_label *to = &r->labels[count];
        *to = (struct profile_label){.number = label->num, .is_number = label->str == 0};
        TRY(read_string(r, label->key, &to->key));
        TRY(read_string(r, label->str, &to->text));
        TRY(read_string(r, label->num_unit, &to->unit));
        if (!read_link_label(r, label, &read))
            count++;
    }
    *link = profile_link(r->p, &read);
    *labels = profile_labels(r->p, r->labels, count);
    return 0;
}

static int read_sample(struct reader *r, size_t row)
{
    const Pprof__Sample *in = r->in->sample[row];
    profile_id link, labels;
    if (in->n_value != r->in->n_sample_type)
        return refuse(r->error, "sample %zu has %zu values for %zu sample types", row,
                      in->n_value, r->in->n_sample_type);
    for (size_t i = 0; i < in->n_location_id; i++) {
        size_t location = id_map_find(&r->location_ids, in->location_id[i]);
        if (location == ID_MAP_NONE)
            return refuse(r->error, "sample %zu names location %" PRIu64 ", which is missing",
                          row, in->location_id[i]);
        r->frames[i] = r->locations[location];
    }
    TRY(read_labels(r, in, &link, &labels));
    profile_id stack = profile_stack(r->p, r->frames, in->n_location_id);
    return profile_add(r->p, stack, link, labels, in->value) == 0 ? 0 : refuse_memory(r->error);
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
    const Pprof__Profile *in = r->in;
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

static bool reader_init_payload(struct reader *r)
{
    size_t frames = 1, labels = 1, lines = 1;
    for (size_t i = 0; i < r->in->n_sample; i++) {
        if (r->in->sample[i]->n_location_id > frames)
            frames = r->in->sample[i]->n_location_id;
        if (r->in->sample[i]->n_label > labels)
            labels = r->in->sample[i]->n_label;
    }
    for (size_t i = 0; i < r->in->n_location; i++)
        if (r->in->location[i]->n_line > lines)
            lines = r->in->location[i]->n_line;
    r->frames = calloc(frames, sizeof(*r->frames));
    r->labels = calloc(labels, sizeof(*r->labels));
    r->lines = calloc(lines, sizeof(*r->lines));
    return r->frames != NULL && r->labels != NULL && r->lines != NULL && lines <= UINT32_MAX;
}

static bool reader_init(struct reader *r)
{
    const Pprof__Profile *in = r->in;
    r->strings = calloc(in->n_string_table + 1, sizeof(*r->strings));
    r->mappings = calloc(in->n_mapping + 1, sizeof(*r->mappings));
    r->mapping_types = calloc(in->n_mapping + 1, sizeof(*r->mapping_types));
    r->functions = calloc(in->n_function + 1, sizeof(*r->functions));
    r->locations = calloc(in->n_location + 1, sizeof(*r->locations));
    /* Each of these is initialised, so that each can be freed. */
    bool maps = id_map_init(&r->mapping_ids, in->n_mapping);
    maps = id_map_init(&r->function_ids, in->n_function) && maps;
    maps = id_map_init(&r->location_ids, in->n_location) && maps;
    r->p = profile_new(NULL);
    return maps && r->strings != NULL && r->mappings != NULL && r->mapping_types != NULL &&
           r->functions != NULL && r->locations != NULL && r->p != NULL &&
           reader_init_payload(r);
}

static void reader_free(struct reader *r)
{
    free(r->strings);
    free(r->mappings);
    free(r->mapping_types);
    free(r->functions);
    free(r->locations);
    free(r->frames);
    free(r->labels);
    free(r->lines);
    id_map_free(&r->mapping_ids);
    id_map_free(&r->function_ids);
    id_map_free(&r->location_ids);
}

static int read_profile(struct reader *r)
{
    TRY(read_strings(r));
    TRY(read_value_types(r));
    for (size_t i = 0; i < r->in->n_mapping; i++)
        TRY(read_mapping(r, i));
    for (size_t i = 0; i < r->in->n_function; i++)
        TRY(read_function(r, i));
    for (size_t i = 0; i < r->in->n_location; i++)
        TRY(read_location(r, i));
    for (size_t i = 0; i < r->in->n_sample; i++)
        TRY(read_sample(r, i));
    TRY(read_header(r));
    return profile_error(r->p) == 0 ? 0 : refuse_memory(r->error);
}

static struct profile *read_raw(const unsigned char *data, size_t size,
                                char error[FORMAT_ERROR_SIZE])
{
    struct wire_tree tree;
    if (wire_unpack(&tree, &pprof__profile__descriptor, data, size, error) != 0)
        return NULL;
    struct reader r = {.in = (const Pprof__Profile *)tree.message, .error = error};
    int status = reader_init(&r) ? read_profile(&r) : refuse_memory(r.error);
    reader_free(&r);
    wire_release(&tree);
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
