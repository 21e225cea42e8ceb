/* format_by_content(): which format bytes are in, by their shapes alone. */
#include <string.h>

#include "format/block.h"
#include "format/callgrind.h"
#include "format/format.h"
#include "format/gperftools.h"
#include "format/gzip.h"
#include "format/heap_text.h"
#include "format/html_read.h"
#include "format/json_read.h"
#include "format/otlp.h"
#include "format/otlp_frames.h"
#include "format/perf_script.h"
#include "format/pstats.h"
#include "format/stackprof.h"
#include "format/wire.h"

/* --- protobuf --- */

/* What the top level of a message has been seen to hold. */
struct shape {
    bool fields[16];  /* by number */
    bool value_types; /* field 1 is as pprof's: a few numbers; else as OTLP's: messages */
    bool resources;
    bool foreign; /* a field that neither format has, or not so */
};

/* pprof's ValueType holds numbers and nothing else, OTLP's ResourceProfiles messages. */
static bool holds_numbers_only(struct wire_cursor message)
{
    struct wire_field field;
    int status;
    while ((status = wire_next(&message, &field)) > 0)
        if (field.type != WIRE_VARINT)
            return false;
    return status == 0;
}

static bool is_plausible(const struct wire_field *field)
{
    enum { LAST_TABLE = 6, PERIOD_TYPE = 11, COMMENT = 13, LAST = 15 };
    if (field->number > LAST)
        return false;
    if (field->number <= LAST_TABLE || field->number == PERIOD_TYPE)
        return field->type == WIRE_LENGTH;
    return field->type == WIRE_VARINT ||
           (field->number == COMMENT && field->type == WIRE_LENGTH);
}

/* Fields stand in any order: Go writes the period before the sample types, the Collector the
 * dictionary before the profiles. What is cut short is known by what there is of it. */
static void survey(struct wire_cursor message, struct shape *shape)
{
    struct wire_field field;
    while (wire_next(&message, &field) > 0) {
        if (!is_plausible(&field)) {
            shape->foreign = true;
            continue;
        }
        if (field.number == 1 && field.size > 0) {
            bool numbers = holds_numbers_only(wire_content(&field));
            shape->value_types |= numbers;
            shape->resources |= !numbers;
        }
        shape->fields[field.number] = true;
    }
}

static const struct format *protobuf_format(struct wire_cursor message)
{
    enum { STRINGS = 6 };
    struct shape shape = {0};
    survey(message, &shape);
    if (shape.resources && !shape.value_types)
        return &format_otlp;
    bool pprof = shape.value_types || (shape.fields[STRINGS] && !shape.foreign);
    return pprof ? &format_pprof : NULL;
}

/* --- text --- */

static bool is_text(const unsigned char *data, size_t size)
{
    for (size_t i = 0; i < size && i < 4096; i++)
        if (data[i] < ' ' && data[i] != '\t' && data[i] != '\n' && data[i] != '\r')
            return false;
    return size > 0;
}

#define FORMATS_MAX 32
#define KEYS_MAX 8 /* of one format */

/* Which of the formats' keys a JSON object has been seen to have. */
struct keys_seen {
    unsigned char of[FORMATS_MAX]; /* a bit for each key */
};

static void note_key(struct keys_seen *seen, const struct buffer *key)
{
    const struct format *format;
    for (size_t i = 0; (format = format_at(i)) != NULL && i < FORMATS_MAX; i++)
        for (unsigned k = 0; format->json_keys != NULL && format->json_keys[k] != NULL; k++)
            if (key->size == strlen(format->json_keys[k]) && key->size > 0 &&
                memcmp(key->data, format->json_keys[k], key->size) == 0)
                seen->of[i] |= (unsigned char)(1U << k);
}

static const struct format *format_of_keys(const struct keys_seen *seen)
{
    const struct format *format;
    for (size_t i = 0; (format = format_at(i)) != NULL && i < FORMATS_MAX; i++) {
        unsigned keys = 0;
        while (format->json_keys != NULL && keys < KEYS_MAX && format->json_keys[keys] != NULL)
            keys++;
        if (keys > 0 && seen->of[i] == (1U << keys) - 1)
            return format;
    }
    return NULL;
}

/* What is cut short is known by what there is of it. */
static const struct format *json_format(const unsigned char *data, size_t size)
{
    struct json_cursor json = {(const char *)data, (const char *)data + size};
    struct keys_seen seen = {0};
    struct buffer key = {0};
    bool first = true, more = json_accept(&json, '{');
    const struct format *format = NULL;
    while (more && format == NULL && json_member(&json, '}', &first) > 0) {
        key.size = 0;
        more = json_read_key(&json, &key) == 0;
        if (more)
            note_key(&seen, &key);
        format = format_of_keys(&seen);
        more = more && format == NULL && json_skip(&json) == 0;
    }
    buffer_free(&key);
    return format;
}

static const struct format *text_format(const unsigned char *data, size_t size)
{
    if (html_detect(data, size))
        return &format_html;
    if (perf_script_detect(data, size))
        return &format_perf_script;
    if (callgrind_detect(data, size))
        return &format_callgrind;
    if (heap_text_detect(data, size))
        return &format_heap_text;
    if (!json_detect(data, size))
        return &format_collapsed;
    return otlp_detect_json(data, size) ? &format_otlp : json_format(data, size);
}

/* --- all --- */

static const struct format *raw_format(const unsigned char *data, size_t size)
{
    struct wire_cursor first;
    if (block_detect(data, size))
        return &format_block;
    if (gperftools_detect(data, size))
        return &format_gperftools;
    if (pstats_detect(data, size))
        return &format_pstats;
    if (stackprof_detect(data, size))
        return &format_stackprof;
    if (is_text(data, size))
        return text_format(data, size);
    if (otlp_first_frame(data, size, &first))
        return protobuf_format(first) == &format_otlp ? &format_otlp : NULL;
    return protobuf_format((struct wire_cursor){data, data + size});
}

const struct format *format_by_content(const unsigned char *data, size_t size)
{
    char error[FORMAT_ERROR_SIZE];
    struct buffer raw = {0};
    if (!gzip_detect(data, size))
        return raw_format(data, size);
    const struct format *format = NULL;
    if (gzip_unpack(data, size, &raw, error) == 0)
        format = raw_format(raw.data, raw.size);
    buffer_free(&raw);
    return format;
}
