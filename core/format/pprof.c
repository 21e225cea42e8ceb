#include "format/pprof.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/format.h"
#include "format/frame_type.h"
#include "format/names.h"
#include "format/wire.h"
#include "pprof.pb-c.h"
#include "profile/hex.h"

/* Higher levels save 4 % of the bytes and cost the host process twice the CPU time and more
 * (tests/bench/bench_format). */
#define GZIP_LEVEL 1

/* Field numbers of pprof's Profile. */
enum profile_field {
    FIELD_SAMPLE_TYPE = 1,
    FIELD_SAMPLE = 2,
    FIELD_MAPPING = 3,
    FIELD_LOCATION = 4,
    FIELD_FUNCTION = 5,
    FIELD_STRING_TABLE = 6,
    FIELD_DROP_FRAMES = 7,
    FIELD_KEEP_FRAMES = 8,
    FIELD_TIME = 9,
    FIELD_DURATION = 10,
    FIELD_PERIOD_TYPE = 11,
    FIELD_PERIOD = 12,
    FIELD_COMMENT = 13,
    FIELD_DEFAULT_SAMPLE_TYPE = 14,
    FIELD_DOC_URL = 15,
};

struct writer {
    const struct profile *profile;
    struct buffer *out;
    struct names names;
    struct numbering mappings; /* rows past the profile's: one for each frame type, and then
                                  one for each string that may be the word of another */
    uint32_t first_other;
    profile_id program; /* the path of its file; 0 = not told */
    struct numbering functions, locations;
    bool *nameless;         /* by mapping: one of its locations has no name */
    uint64_t *location_ids; /* of one sample; room for the deepest stack */
    Pprof__Label *labels;   /* of one sample; room for the largest set and a link */
    Pprof__Label **label_pointers;
    Pprof__Line *lines;
    Pprof__Line **line_pointers;
};

static bool writer_init_payload(struct writer *w)
{
    struct profile_extent extent = profile_extent(w->profile);
    size_t labels = extent.labels + 2; /* a link is two */
    size_t lines = extent.lines + 1;
    w->location_ids = malloc((extent.depth + 1) * sizeof(*w->location_ids));
    w->labels = malloc(labels * sizeof(*w->labels));
    w->label_pointers = malloc(labels * sizeof(*w->label_pointers));
    w->lines = malloc(lines * sizeof(*w->lines));
    w->line_pointers = malloc(lines * sizeof(*w->line_pointers));
    if (!w->location_ids || !w->labels || !w->label_pointers || !w->lines || !w->line_pointers)
        return false;
    for (size_t i = 0; i < labels; i++)
        w->label_pointers[i] = &w->labels[i];
    for (size_t i = 0; i < lines; i++)
        w->line_pointers[i] = &w->lines[i];
    return true;
}

static bool writer_init(struct writer *w, const struct profile *p, struct buffer *out)
{
    *w = (struct writer){.profile = p, .out = out};
    w->first_other = (uint32_t)profile_mapping_count(p) + FRAME_TYPE_COUNT;
    return names_init(&w->names, p) &&
           numbering_init(&w->mappings, w->first_other + profile_string_count(p)) &&
           numbering_init(&w->functions, profile_function_count(p)) &&
           numbering_init(&w->locations, profile_location_count(p)) &&
           (w->nameless = calloc(profile_mapping_count(p), sizeof(*w->nameless))) != NULL &&
           writer_init_payload(w);
}

static void writer_free(struct writer *w)
{
    names_free(&w->names);
    numbering_free(&w->mappings);
    numbering_free(&w->functions);
    numbering_free(&w->locations);
    free(w->nameless);
    free(w->location_ids);
    free(w->labels);
    free(w->label_pointers);
    free(w->lines);
    free(w->line_pointers);
}

static void write_value_type(struct writer *w, unsigned field, struct profile_value_type type)
{
    Pprof__ValueType row = PPROF__VALUE_TYPE__INIT;
    row.type = names_of(&w->names, type.type);
    row.unit = names_of(&w->names, type.unit);
    wire_message(w->out, field, &row.base);
}

/* The program */

static profile_id program_path(const struct profile *p)
{
    if (profile_header_const(p)->program != 0)
        return profile_header_const(p)->program;
    for (size_t i = 0; i < profile_attribute_count(p, PROFILE_RESOURCE); i++) {
        const struct profile_label *attribute = profile_attribute(p, PROFILE_RESOURCE, i);
        if (strcmp(profile_text(p, attribute->key), PPROF_PROGRAM) == 0)
            return attribute->text;
    }
    return 0;
}

/* The program's own mapping gets the first number: pprof's tools say its name and build id
 * above all they show. It is the one of the process's executable, whether it has samples or
 * not, or else the one that was the first where the profile was read from. */
static void number_main(struct writer *w)
{
    const struct profile *p = w->profile;
    const size_t count = profile_mapping_count(p);
    w->program = program_path(p);
    for (uint32_t id = 1; id < count && w->program != 0; id++)
        if (profile_get_mapping(p, id)->filename == w->program) {
            numbering_of(&w->mappings, id);
            return;
        }
    if (w->program != 0)
        numbering_of(&w->mappings, (uint32_t)count + CPROF_FRAME_UNKNOWN);
    else if (count > 1)
        numbering_of(&w->mappings, 1);
}

/* Samples */

static size_t put_text_label(struct writer *w, size_t at, const char *key, const char *text)
{
    pprof__label__init(&w->labels[at]);
    w->labels[at].key = names_text(&w->names, key);
    w->labels[at].str = names_text(&w->names, text);
    return at + 1;
}

static size_t put_link(struct writer *w, size_t at, profile_id id)
{
    if (id == 0)
        return at;
    const struct profile_link *link = profile_get_link(w->profile, id);
    char trace[2 * sizeof(link->trace_id) + 1], span[2 * sizeof(link->span_id) + 1];
    hex_write(trace, link->trace_id, sizeof(link->trace_id));
    hex_write(span, link->span_id, sizeof(link->span_id));
    at = put_text_label(w, at, PPROF_TRACE_ID, trace);
    return put_text_label(w, at, PPROF_SPAN_ID, span);
}

static size_t put_labels(struct writer *w, size_t at, profile_id id)
{
    struct profile_label_set set = profile_get_labels(w->profile, id);
    for (uint32_t i = 0; i < set.count; i++) {
        const struct profile_label *label = &set.labels[i];
        Pprof__Label *row = &w->labels[at];
        pprof__label__init(row);
        row->key = names_of(&w->names, label->key);
        row->str = names_of(&w->names, label->text);
        row->num = label->number;
        row->num_unit = names_of(&w->names, label->unit);
        at++;
    }
    return at;
}

static void write_sample(struct writer *w, const struct profile_sample *sample,
                         const int64_t *values)
{
    struct profile_stack stack = profile_get_stack(w->profile, sample->stack);
    for (uint32_t i = 0; i < stack.depth; i++)
        w->location_ids[i] = numbering_of(&w->locations, stack.locations[i]);
    Pprof__Sample row = PPROF__SAMPLE__INIT;
    row.n_location_id = stack.depth;
    row.location_id = w->location_ids;
    row.n_value = profile_value_count(w->profile);
    row.value = (int64_t *)values;
    row.n_label = put_labels(w, put_link(w, 0, sample->link), sample->labels);
    row.label = w->label_pointers;
    wire_message(w->out, FIELD_SAMPLE, &row.base);
}

/* Tables */

/* Code of a file that others may still name needs that file's mapping more than its type. */
static bool has_other_type(const struct writer *w, const struct profile_location *location)
{
    return location->other_type != 0 && (location->mapping == 0 || location->line_count > 0) &&
           pprof_is_type(profile_text(w->profile, location->other_type));
}

/* The mapping that says what a location's frame type is: see pprof.h. */
static uint32_t mapping_of(struct writer *w, const struct profile_location *location)
{
    const struct profile_mapping *mapping = profile_get_mapping(w->profile, location->mapping);
    const char *file = profile_text(w->profile, mapping->filename);
    bool kernel = strncmp(file, PPROF_KERNEL_PREFIX, strlen(PPROF_KERNEL_PREFIX)) == 0;
    if (has_other_type(w, location))
        return numbering_of(&w->mappings, w->first_other + location->other_type);
    bool real = location->type == CPROF_FRAME_UNKNOWN ||
                (location->mapping != 0 && location->type == CPROF_FRAME_NATIVE) ||
                (kernel && location->type == CPROF_FRAME_KERNEL);
    if (real)
        return numbering_of(&w->mappings, location->mapping);
    return numbering_of(&w->mappings,
                        (uint32_t)profile_mapping_count(w->profile) + (uint32_t)location->type);
}

static void write_location(struct writer *w, uint32_t number)
{
    const struct profile_location *location =
        profile_get_location(w->profile, w->locations.order[number]);
    Pprof__Location row = PPROF__LOCATION__INIT;
    row.id = number;
    row.mapping_id = mapping_of(w, location);
    row.address = location->address;
    row.is_folded = location->folded;
    row.line = w->line_pointers;
    for (uint32_t i = 0; i < location->line_count; i++) {
        if (location->lines[i].function == 0)
            continue; /* which pprof's tools refuse */
        Pprof__Line *line = &w->lines[row.n_line++];
        pprof__line__init(line);
        line->function_id = numbering_of(&w->functions, location->lines[i].function);
        line->line = location->lines[i].line;
        line->column = location->lines[i].column;
    }
    if (row.n_line == 0)
        w->nameless[location->mapping] = true;
    wire_message(w->out, FIELD_LOCATION, &row.base);
}

static void write_function(struct writer *w, uint32_t number)
{
    const struct profile_function *function =
        profile_get_function(w->profile, w->functions.order[number]);
    Pprof__Function row = PPROF__FUNCTION__INIT;
    row.id = number;
    row.name = names_of(&w->names, function->name);
    row.system_name = names_of(&w->names, function->system_name);
    row.filename = names_of(&w->names, function->filename);
    row.start_line = function->start_line;
    wire_message(w->out, FIELD_FUNCTION, &row.base);
}

static uint32_t build_id_of(struct writer *w, const struct profile_mapping *mapping)
{
    if (mapping->build_id != 0 || mapping->htlhash == 0)
        return names_of(&w->names, mapping->build_id);
    char text[PPROF_HTLHASH_MAX + 1];
    snprintf(text, sizeof(text), PPROF_HTLHASH_PREFIX "%s",
             profile_text(w->profile, mapping->htlhash));
    return names_text(&w->names, text);
}

/* What is left for the reader to look up: as the file said that it was read from, else nothing
 * when all was named in the process. */
static void put_symbols(const struct writer *w, uint32_t id, Pprof__Mapping *row)
{
    uint32_t symbols = PROFILE_HAS_ALL;
    if (id < profile_mapping_count(w->profile)) {
        symbols = profile_get_mapping(w->profile, id)->symbols;
        if ((symbols & PROFILE_SYMBOLS_TOLD) == 0)
            symbols = w->nameless[id] ? 0 : PROFILE_HAS_ALL;
    }
    row->has_functions = (symbols & PROFILE_HAS_FUNCTIONS) != 0;
    row->has_filenames = (symbols & PROFILE_HAS_FILENAMES) != 0;
    row->has_line_numbers = (symbols & PROFILE_HAS_LINES) != 0;
    row->has_inline_frames = (symbols & PROFILE_HAS_INLINED) != 0;
}

/* The file's name of a mapping that is none of the profile's: a frame type, or the program. */
static uint32_t file_of_none(struct writer *w, uint32_t id)
{
    size_t type = id - profile_mapping_count(w->profile);
    char name[PPROF_TYPE_MAX + 1];
    if (type == CPROF_FRAME_UNKNOWN)
        return names_of(&w->names, w->program);
    snprintf(name, sizeof(name), "[%s]",
             id >= w->first_other ? profile_text(w->profile, id - w->first_other)
                                  : frame_type_name((enum cprof_frame_type)type));
    return names_text(&w->names, name);
}

static void write_mapping(struct writer *w, uint32_t number)
{
    uint32_t id = w->mappings.order[number];
    Pprof__Mapping row = PPROF__MAPPING__INIT;
    row.id = number;
    put_symbols(w, id, &row);
    if (id < profile_mapping_count(w->profile)) {
        const struct profile_mapping *mapping = profile_get_mapping(w->profile, id);
        row.memory_start = mapping->start;
        row.memory_limit = mapping->limit;
        row.file_offset = mapping->file_offset;
        row.filename = names_of(&w->names, mapping->filename);
        row.build_id = build_id_of(w, mapping);
    } else {
        row.filename = file_of_none(w, id);
    }
    wire_message(w->out, FIELD_MAPPING, &row.base);
}

/* Readers take the first for the program's own, which number_main() saw to: those that stand
 * for no file come last. */
static void write_mappings(struct writer *w)
{
    const size_t real = profile_mapping_count(w->profile);
    if (w->mappings.used > 1)
        write_mapping(w, 1);
    for (uint32_t i = 2; i < w->mappings.used; i++)
        if (w->mappings.order[i] < real)
            write_mapping(w, i);
    for (uint32_t i = 2; i < w->mappings.used; i++)
        if (w->mappings.order[i] >= real)
            write_mapping(w, i);
}

/* Comments */

/* Would the value be taken for something else when read? */
static bool needs_quotes(const char *value)
{
    if (*value == '"')
        return true;
    value += *value == '-';
    return *value != '\0' && value[strspn(value, "0123456789")] == '\0';
}

static void put_comment(struct writer *w, const char *text)
{
    uint64_t number = names_text(&w->names, text);
    wire_varint(w->out, FIELD_COMMENT, number);
}

static void write_attribute(struct writer *w, const char *prefix,
                            const struct profile_label *attribute)
{
    const char *key = profile_text(w->profile, attribute->key);
    const char *value = profile_text(w->profile, attribute->text);
    bool shown = *prefix == '\0' && strcmp(key, PPROF_SHOWN) == 0;
    const char *hide = shown ? "" : PPROF_HIDDEN;
    const char *quote = !attribute->is_number && needs_quotes(value) ? "\"" : "";
    char *text = NULL;
    int length = attribute->is_number
                     ? asprintf(&text, "%s%s%s=%" PRId64, hide, prefix, key, attribute->number)
                     : asprintf(&text, "%s%s%s=%s%s%s", hide, prefix, key, quote, value, quote);
    if (length < 0) {
        w->names.failed = true;
        return;
    }
    put_comment(w, text);
    free(text);
}

static void write_comments(struct writer *w)
{
    const struct profile *p = w->profile;
    for (size_t i = 0; i < profile_attribute_count(p, PROFILE_RESOURCE); i++)
        write_attribute(w, "", profile_attribute(p, PROFILE_RESOURCE, i));
    for (size_t i = 0; i < profile_attribute_count(p, PROFILE_ATTRIBUTES); i++)
        write_attribute(w, PPROF_PROFILE_PREFIX, profile_attribute(p, PROFILE_ATTRIBUTES, i));
    for (size_t i = 0; i < profile_attribute_count(p, PROFILE_COMMENTS); i++)
        put_comment(w, profile_text(p, profile_attribute(p, PROFILE_COMMENTS, i)->text));
}

/* The whole */

static void write_header(struct writer *w)
{
    const struct profile_header *h = profile_header_const(w->profile);
    const struct profile_period *period = profile_period_const(w->profile, 0);
    wire_varint(w->out, FIELD_DROP_FRAMES, names_of(&w->names, h->drop_frames));
    wire_varint(w->out, FIELD_KEEP_FRAMES, names_of(&w->names, h->keep_frames));
    wire_varint(w->out, FIELD_TIME, h->time_ns);
    wire_varint(w->out, FIELD_DURATION, h->duration_ns);
    if (period->type.type != 0 || period->type.unit != 0)
        write_value_type(w, FIELD_PERIOD_TYPE, period->type);
    wire_varint(w->out, FIELD_PERIOD, (uint64_t)period->value);
    write_comments(w);
    wire_varint(w->out, FIELD_DEFAULT_SAMPLE_TYPE, names_of(&w->names, h->default_type));
    wire_varint(w->out, FIELD_DOC_URL, names_of(&w->names, h->doc_url));
}

/* Each table is complete when those before it have been written, strings last. */
static void write_profile(struct writer *w)
{
    for (size_t i = 0; i < profile_value_count(w->profile); i++)
        write_value_type(w, FIELD_SAMPLE_TYPE, profile_value_type(w->profile, i));
    number_main(w);
    for (size_t i = 0; i < profile_sample_count(w->profile); i++) {
        struct profile_sample sample;
        int64_t values[PROFILE_MAX_VALUES];
        if (profile_get_row(w->profile, i, &sample, values))
            write_sample(w, &sample, values);
    }
    for (uint32_t i = 1; i < w->locations.used; i++)
        write_location(w, i);
    write_mappings(w);
    for (uint32_t i = 1; i < w->functions.used; i++)
        write_function(w, i);
    write_header(w);
    for (uint32_t i = 0; i < names_count(&w->names); i++)
        wire_bytes(w->out, FIELD_STRING_TABLE, names_at(&w->names, i)->text,
                   names_at(&w->names, i)->length);
}

static int write_raw(const struct profile *p, struct buffer *out)
{
    struct writer w;
    bool failed = true;
    if (writer_init(&w, p, out)) {
        write_profile(&w);
        failed = w.names.failed;
    }
    writer_free(&w);
    return failed ? -ENOMEM : out->error;
}

static int pprof_write(const struct profile *p, struct buffer *out)
{
    struct buffer raw = {0};
    int status = write_raw(p, &raw);
    if (status == 0)
        status = buffer_gzip(&raw, out, GZIP_LEVEL);
    buffer_free(&raw);
    return status;
}

static const char *const endings[] = {".pb.gz", ".pprof", ".pb", NULL};

const struct format format_pprof = {
    .name = "pprof",
    .endings = endings,
    .write = pprof_write,
    .read = pprof_read,
};
