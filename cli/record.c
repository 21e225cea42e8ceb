#include "record.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "format/json.h"

struct record record_begin(struct buffer *out, enum record_format format)
{
    if (format == RECORD_JSON)
        json_raw(out, "{");
    return (struct record){.out = out, .format = format};
}

void record_end(struct record *record)
{
    json_raw(record->out, record->format == RECORD_JSON ? "}" : "\n");
}

/* Quoted where it must be. Bytes are what they are: CSV says nothing of them. */
static void write_cell(struct buffer *out, const char *text, size_t length)
{
    bool quoted = false;
    for (size_t i = 0; i < length && !quoted; i++)
        quoted = strchr(",\"\r\n", text[i]) != NULL;
    buffer_append(out, "\"", quoted);
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '"')
            buffer_append(out, "\"", 1);
        buffer_append(out, &text[i], 1);
    }
    buffer_append(out, "\"", quoted);
}

/* Up to a value: false where there is none, in the line of the keys. */
static bool begin_value(struct record *record, const char *key)
{
    if (record->begun)
        json_raw(record->out, ",");
    record->begun = true;
    if (record->format == RECORD_JSON) {
        json_string(record->out, key, strlen(key));
        json_raw(record->out, ":");
    } else if (record->format == RECORD_CSV_KEYS) {
        json_raw(record->out, key);
    }
    return record->format != RECORD_CSV_KEYS;
}

void record_text(struct record *record, const char *key, const char *text, size_t length)
{
    if (!begin_value(record, key))
        return;
    if (record->format == RECORD_JSON)
        json_string(record->out, text, length);
    else
        write_cell(record->out, text, length);
}

void record_integer(struct record *record, const char *key, int64_t value)
{
    if (begin_value(record, key))
        json_integer(record->out, value);
}

void record_real(struct record *record, const char *key, double value)
{
    char text[32];
    snprintf(text, sizeof(text), "%.9g", isfinite(value) ? value : 0);
    if (begin_value(record, key))
        json_raw(record->out, text);
}

void record_flag(struct record *record, const char *key, bool value)
{
    if (begin_value(record, key))
        json_raw(record->out, value ? "true" : "false");
}
