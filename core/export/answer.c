#include "export/answer.h"

#include <string.h>

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

void answer_printable(char *to, size_t to_size, const void *text, size_t length)
{
    const unsigned char *bytes = text;
    size_t kept = length < to_size - 1 ? length : to_size - 1;
    for (size_t i = 0; i < kept; i++)
        to[i] = bytes[i] >= 0x20 && bytes[i] < 0x7f ? (char)bytes[i] : '?';
    to[kept] = '\0';
}
