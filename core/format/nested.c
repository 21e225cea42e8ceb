#include "format/nested.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "format/json_read.h"
#include "format/refuse.h"

void nested_free(struct nested *in)
{
    free(in->rows);
    buffer_free(&in->texts);
    *in = (struct nested){0};
}

/* --- filling --- */

static bool reserve(struct nested *in)
{
    if (in->count < in->capacity)
        return true;
    const uint32_t least = 256;
    uint32_t capacity = in->capacity < least ? least : in->capacity;
    if (in->capacity > UINT32_MAX / 3 * 2)
        return false;
    capacity += in->capacity / 2;
    struct nested_row *rows = realloc(in->rows, capacity * sizeof(*rows));
    if (rows == NULL)
        return false;
    in->rows = rows;
    in->capacity = capacity;
    return true;
}

static bool is_nest(const struct nested_row *value)
{
    return value->kind == NESTED_LIST || value->kind == NESTED_MAP;
}

uint32_t nested_add(struct nested *in, struct nested_row value)
{
    if (in->count == 0 && reserve(in))
        in->rows[in->count++] = (struct nested_row){0};
    if (!reserve(in))
        return 0;
    if (in->open != 0) {
        struct nested_row *around = &in->rows[in->open];
        around->size++;
        around->flat = around->flat && !is_nest(&value);
    }
    in->rows[in->count] = value;
    return in->count++;
}

uint32_t nested_open(struct nested *in, enum nested_kind kind)
{
    uint32_t row = nested_add(
        in, (struct nested_row){.kind = (uint8_t)kind, .flat = true, .end = in->open});
    if (row != 0)
        in->open = row;
    return row;
}

void nested_close(struct nested *in)
{
    struct nested_row *closed = &in->rows[in->open];
    in->open = closed->end;
    closed->end = in->count;
}

/* --- JSON --- */

static int add_number(struct nested *in, struct json_cursor *json, struct buffer *word)
{
    char *end;
    word->size = 0;
    TRY(json_read_word(json, word));
    buffer_append(word, "", 1);
    if (word->error != 0)
        return word->error;
    const char *text = (const char *)word->data;
    struct nested_row value = {.kind = NESTED_NOTHING};
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
        value = (struct nested_row){.kind = NESTED_BOOLEAN, .integer = *text == 't'};
    } else if (strcmp(text, "null") != 0) {
        if (text[strspn(text, "+-.0123456789eE")] != '\0')
            return -EBADMSG;
        errno = 0;
        value = (struct nested_row){.kind = NESTED_INTEGER, .integer = strtoll(text, &end, 10)};
        if (*end != '\0' || errno != 0)
            value = (struct nested_row){.kind = NESTED_REAL, .real = strtod(text, &end)};
        if (*end != '\0' || end == text)
            return -EBADMSG;
    }
    return nested_add(in, value) != 0 ? 0 : -ENOMEM;
}

/* Text without escapes, which nearly all is, lies where it lies. */
static int add_text(struct nested *in, struct json_cursor *json)
{
    struct buffer *texts = &in->texts;
    const size_t made = texts->size;
    json_accept(json, '"');
    const char *start = json->at;
    while (json->at != json->end && *json->at != '"' && *json->at != '\\')
        json->at++;
    struct nested_row value = {
        .kind = NESTED_TEXT, .text = start, .size = (uint32_t)(json->at - start)};
    if (!json_accept(json, '"')) {
        json->at = start - 1;
        TRY(json_read_string(json, texts));
        value = (struct nested_row){
            .kind = NESTED_MADE_TEXT, .made = made, .size = (uint32_t)(texts->size - made)};
    }
    return nested_add(in, value) != 0 ? 0 : -ENOMEM;
}

/* A value, or the beginning of a list or map. */
static int add_value(struct nested *in, struct json_cursor *json, struct buffer *word)
{
    char next = json_peek(json);
    if (next == '"')
        return add_text(in, json);
    if (next != '[' && next != '{')
        return add_number(in, json, word);
    json->at++;
    return nested_open(in, next == '[' ? NESTED_LIST : NESTED_MAP) != 0 ? 0 : -ENOMEM;
}

/* One step within the list or map that is open: its end, or one more member. */
static int step_inside(struct nested *in, struct json_cursor *json, struct buffer *word)
{
    const struct nested_row *open = &in->rows[in->open];
    const bool map = open->kind == NESTED_MAP;
    bool first = open->size == 0;
    int more = json_member(json, map ? '}' : ']', &first);
    if (more < 0)
        return more;
    if (more == 0) {
        nested_close(in);
        return 0;
    }
    if (map) {
        if (json_peek(json) != '"')
            return -EBADMSG;
        TRY(add_text(in, json));
        if (!json_accept(json, ':'))
            return -EBADMSG;
    }
    return add_value(in, json, word);
}

int nested_read_json(struct nested *in, struct slice bytes, char error[FORMAT_ERROR_SIZE])
{
    const size_t mark = slice_starts(bytes, "\xef\xbb\xbf") ? 3 : 0;
    struct json_cursor json = {bytes.text + mark, bytes.text + bytes.length};
    struct buffer word = {0};
    if (bytes.length > UINT32_MAX)
        return refuse(error, "is too large");
    int status = add_value(in, &json, &word);
    while (status == 0 && in->open != 0)
        status = step_inside(in, &json, &word);
    if (status == 0 && json_peek(&json) != '\0')
        status = -EBADMSG;
    buffer_free(&word);
    if (status == -ENOMEM)
        return refuse_memory(error);
    return status == 0 ? 0
                       : refuse(error, "not valid JSON: damaged at byte %zu",
                                (size_t)(json.at - bytes.text));
}

/* --- reading --- */

static const struct nested_row *look(const struct nested *in, uint32_t row)
{
    static const struct nested_row nothing;
    if (row >= in->count)
        return &nothing;
    while (in->rows[row].kind == NESTED_SAME && in->rows[row].row < row)
        row = in->rows[row].row;
    return &in->rows[row];
}

enum nested_kind nested_kind(const struct nested *in, uint32_t row)
{
    return (enum nested_kind)look(in, row)->kind;
}

uint32_t nested_count(const struct nested *in, uint32_t row)
{
    const struct nested_row *value = look(in, row);
    if (value->kind == NESTED_MAP)
        return value->size / 2;
    return value->kind == NESTED_LIST ? value->size : 0;
}

uint32_t nested_first(const struct nested *in, uint32_t row)
{
    const struct nested_row *value = look(in, row);
    return is_nest(value) && value->size > 0 ? (uint32_t)(value - in->rows) + 1 : 0;
}

uint32_t nested_next(const struct nested *in, uint32_t row, uint32_t member)
{
    const struct nested_row *around = look(in, row), *value = &in->rows[member];
    uint32_t next = is_nest(value) ? value->end : member + 1;
    return next < around->end ? next : 0;
}

uint32_t nested_at(const struct nested *in, uint32_t row, uint64_t index)
{
    const struct nested_row *value = look(in, row);
    if (value->kind != NESTED_LIST || !value->flat || index >= value->size)
        return 0;
    return (uint32_t)(value - in->rows) + 1 + (uint32_t)index;
}

uint32_t nested_get(const struct nested *in, uint32_t row, const char *key)
{
    if (nested_kind(in, row) != NESTED_MAP)
        return 0;
    for (uint32_t at = nested_first(in, row); at != 0; at = nested_next(in, row, at)) {
        uint32_t value = nested_next(in, row, at);
        if (slice_is(nested_text(in, at), key))
            return value;
        at = value;
    }
    return 0;
}

struct slice nested_text(const struct nested *in, uint32_t row)
{
    const struct nested_row *value = look(in, row);
    if (value->kind == NESTED_TEXT)
        return (struct slice){value->text, value->size};
    if (value->kind == NESTED_MADE_TEXT && value->size > 0)
        return (struct slice){(const char *)in->texts.data + value->made, value->size};
    return (struct slice){value->kind == NESTED_MADE_TEXT ? "" : NULL, 0};
}

bool nested_integer(const struct nested *in, uint32_t row, int64_t *number)
{
    const struct nested_row *value = look(in, row);
    *number = 0;
    if (value->kind == NESTED_REAL && !isnan(value->real))
        *number = nested_scaled(value->real, 1);
    else if (value->kind == NESTED_INTEGER)
        *number = value->integer;
    else
        return false;
    return true;
}

double nested_real(const struct nested *in, uint32_t row, double otherwise)
{
    const struct nested_row *value = look(in, row);
    if (value->kind == NESTED_INTEGER)
        return (double)value->integer;
    return value->kind == NESTED_REAL && !isnan(value->real) ? value->real : otherwise;
}

int64_t nested_scaled(double number, double scale)
{
    const double most = 9223372036854774784.0;
    double scaled = number * scale;
    if (isnan(scaled))
        return 0;
    return scaled >= most    ? INT64_MAX
           : scaled <= -most ? INT64_MIN
                             : (int64_t)(scaled + (scaled < 0 ? -0.5 : 0.5));
}
