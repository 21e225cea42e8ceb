#include "export/answer.h"

#include <string.h>
#include <strings.h>

#include "base/clock.h"

struct reader {
    const unsigned char *at, *end;
};

struct field {
    uint64_t number;       /* of the field */
    uint64_t value;        /* of a varint */
    struct reader content; /* of a length-delimited field; else empty */
};

static bool read_varint(struct reader *reader, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && reader->at < reader->end; shift += 7) {
        unsigned char byte = *reader->at++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

static bool take(struct reader *reader, uint64_t length, struct reader *content)
{
    if (length > (uint64_t)(reader->end - reader->at))
        return false;
    *content = (struct reader){reader->at, reader->at + length};
    reader->at += length;
    return true;
}

static bool read_field(struct reader *reader, struct field *field)
{
    uint64_t tag, length;
    *field = (struct field){0};
    if (!read_varint(reader, &tag) || tag >> 3 == 0)
        return false;
    field->number = tag >> 3;
    switch (tag & 7) {
    case 0:
        return read_varint(reader, &field->value);
    case 1:
        return take(reader, 8, &field->content);
    case 2:
        return read_varint(reader, &length) && take(reader, length, &field->content);
    case 5:
        return take(reader, 4, &field->content);
    default:
        return false;
    }
}

static bool read_number_and_text(struct reader reader, struct answer *answer)
{
    struct field field;
    *answer = (struct answer){0};
    while (reader.at < reader.end) {
        if (!read_field(&reader, &field))
            return false;
        if (field.number == 1)
            answer->number = (int64_t)field.value;
        else if (field.number == 2 && field.content.at != NULL)
            answer_printable(answer->text, sizeof answer->text, field.content.at,
                             (size_t)(field.content.end - field.content.at));
    }
    return true;
}

bool answer_status(const void *body, size_t size, struct answer *answer)
{
    const unsigned char *bytes = body;
    return read_number_and_text((struct reader){bytes, bytes + size}, answer);
}

bool answer_partial_success(const void *body, size_t size, struct answer *answer)
{
    const unsigned char *bytes = body;
    struct reader reader = {bytes, bytes + size};
    struct field field;
    *answer = (struct answer){0};
    while (reader.at < reader.end) {
        if (!read_field(&reader, &field))
            return false;
        if (field.number == 1 && !read_number_and_text(field.content, answer))
            return false;
    }
    return true;
}

static bool same_text(struct reader content, const char *text)
{
    size_t length = (size_t)(content.end - content.at);
    return content.at != NULL && length == strlen(text) &&
           memcmp(content.at, text, length) == 0;
}

/* google.protobuf.Duration {seconds = 1, nanos = 2} */
static uint64_t read_duration(struct reader reader)
{
    struct field field;
    int64_t seconds = 0, nanoseconds = 0;
    while (reader.at < reader.end && read_field(&reader, &field)) {
        if (field.number == 1)
            seconds = (int64_t)field.value;
        else if (field.number == 2)
            nanoseconds = (int64_t)field.value;
    }
    if (seconds < 0 || nanoseconds < 0)
        return 0;
    if (seconds >= ANSWER_LONGEST_WISH || nanoseconds >= (int64_t)NS_PER_SECOND)
        return ANSWER_LONGEST_WISH * NS_PER_SECOND;
    return (uint64_t)seconds * NS_PER_SECOND + (uint64_t)nanoseconds;
}

/* google.protobuf.Any {type_url = 1, value = 2} */
static bool read_retry_info(struct reader reader, uint64_t *delay_ns)
{
    struct field field;
    struct reader value = {0};
    bool is_retry_info = false;
    while (reader.at < reader.end && read_field(&reader, &field)) {
        if (field.number == 1)
            is_retry_info =
                same_text(field.content, "type.googleapis.com/google.rpc.RetryInfo");
        else if (field.number == 2)
            value = field.content;
    }
    *delay_ns = 0;
    while (is_retry_info && value.at < value.end && read_field(&value, &field))
        if (field.number == 1) /* retry_delay */
            *delay_ns = read_duration(field.content);
    return is_retry_info;
}

bool answer_retry_info(const void *body, size_t size, uint64_t *delay_ns)
{
    const unsigned char *bytes = body;
    struct reader reader = {bytes, bytes + size};
    struct field field;
    while (reader.at < reader.end && read_field(&reader, &field))
        if (field.number == 3 && read_retry_info(field.content, delay_ns))
            return true;
    return false;
}

static char *put_printable(char *to, const unsigned char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        *to++ = bytes[i] >= 0x20 && bytes[i] < 0x7f ? (char)bytes[i] : '?';
    *to = '\0';
    return to;
}

void answer_printable(char *to, size_t to_size, const void *text, size_t length)
{
    static const char gap[] = "...";
    const unsigned char *bytes = text;
    size_t room = to_size - 1;
    if (length <= room) {
        put_printable(to, bytes, length);
    } else if (room < 2 * sizeof gap) {
        put_printable(to, bytes, room);
    } else {
        size_t head = (room - strlen(gap)) / 2, tail = room - strlen(gap) - head;
        to = put_printable(to, bytes, head);
        to = put_printable(to, (const unsigned char *)gap, strlen(gap));
        put_printable(to, bytes + length - tail, tail);
    }
}

/* ---- limits ---- */

static bool says(const unsigned char *text, size_t length, const char *words)
{
    size_t size = strlen(words);
    for (size_t i = 0; i + size <= length; i++)
        if (strncasecmp((const char *)text + i, words, size) == 0)
            return true;
    return false;
}

/* The number that ends at `at`, or else begins there; 0: none, or one that is none of names. */
static size_t read_count(const char *text, size_t length, size_t at, bool ends)
{
    size_t from = at, number = 0;
    while (ends && from > 0 && text[from - 1] >= '0' && text[from - 1] <= '9')
        from--;
    for (; from < length && text[from] >= '0' && text[from] <= '9' && number < 10000; from++)
        number = number * 10 + (size_t)(text[from] - '0');
    return number < 10000 ? number : 0;
}

bool answer_label_names(const void *text, size_t length, struct label_names *names)
{
    static const char words[] = " label names; limit ";
    const char *found = memmem(text, length, words, strlen(words));
    *names = (struct label_names){0};
    if (found == NULL)
        return false;
    size_t at = (size_t)(found - (const char *)text);
    names->had = read_count(text, length, at, true);
    names->most = read_count(text, length, at + strlen(words), false);
    return names->most > 0 && names->had > names->most;
}

enum answer_limit answer_limit(const void *text, size_t length)
{
    static const struct {
        const char *words;
        enum answer_limit limit;
    } known[] = {
        {"size limit", ANSWER_LIMIT_SIZE},
        {"samples count limit", ANSWER_LIMIT_SIZE},
        {"too large", ANSWER_LIMIT_SIZE},
        {"larger than max", ANSWER_LIMIT_SIZE},
        {"label names", ANSWER_LIMIT_LABELS},
        {"too many labels", ANSWER_LIMIT_LABELS},
        {"too many attributes", ANSWER_LIMIT_LABELS},
        {"number of labels", ANSWER_LIMIT_LABELS},
        {"limit", ANSWER_LIMIT_OTHER},
        {"maximum", ANSWER_LIMIT_OTHER},
        {"too many", ANSWER_LIMIT_OTHER},
        {"exceed", ANSWER_LIMIT_OTHER},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (says(text, length, known[i].words))
            return known[i].limit;
    return ANSWER_NO_LIMIT;
}
