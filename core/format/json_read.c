#include "format/json_read.h"

#include <errno.h>
#include <string.h>

#include "format/refuse.h"

static void skip_blanks(struct json_cursor *json)
{
    while (json->at != json->end && memchr(" \t\n\r", *json->at, 4) != NULL)
        json->at++;
}

char json_peek(struct json_cursor *json)
{
    skip_blanks(json);
    return json->at != json->end ? *json->at : '\0';
}

bool json_accept(struct json_cursor *json, char wanted)
{
    if (json_peek(json) != wanted || json->at == json->end)
        return false;
    json->at++;
    return true;
}

bool json_detect(const unsigned char *data, size_t size)
{
    struct json_cursor json = {(const char *)data, (const char *)data + size};
    if (size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0)
        json.at += 3;
    if (!json_accept(&json, '{'))
        return false;
    char next = json_peek(&json);
    return next == '"' || next == '}';
}

int json_member(struct json_cursor *json, char closing, bool *first)
{
    if (json_accept(json, closing))
        return 0;
    if (!*first && !json_accept(json, ','))
        return -EBADMSG;
    *first = false;
    return json_peek(json) != '\0' && json_peek(json) != closing ? 1 : -EBADMSG;
}

static int read_hex(struct json_cursor *json, unsigned *code)
{
    *code = 0;
    for (int i = 0; i < 4; i++) {
        const char *digits = "0123456789abcdef0123456789ABCDEF", *digit;
        if (json->at == json->end || *json->at == '\0')
            return -EBADMSG;
        digit = strchr(digits, *json->at++);
        if (digit == NULL)
            return -EBADMSG;
        *code = *code << 4 | (unsigned)((digit - digits) & 15);
    }
    return 0;
}

static void append_utf8(struct buffer *out, unsigned code)
{
    char bytes[4];
    size_t size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char leads[] = {0, 0x00, 0xc0, 0xe0, 0xf0};
    for (size_t i = size; i-- > 1; code >>= 6)
        bytes[i] = (char)(0x80 | (code & 0x3f));
    bytes[0] = (char)(leads[size] | code);
    buffer_append(out, bytes, size);
}

/* What stands behind "\u": a character, or the first half of a pair whose second must follow. A
 * half that is alone is no character. */
static int read_unicode(struct json_cursor *json, struct buffer *out)
{
    const unsigned replacement = 0xfffd;
    unsigned code, low;
    TRY(read_hex(json, &code));
    if (code >= 0xd800 && code < 0xdc00 && json->end - json->at >= 6 && json->at[0] == '\\' &&
        json->at[1] == 'u') {
        struct json_cursor ahead = {json->at + 2, json->end};
        TRY(read_hex(&ahead, &low));
        if (low >= 0xdc00 && low < 0xe000) {
            *json = ahead;
            append_utf8(out, 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00));
            return 0;
        }
    }
    append_utf8(out, code >= 0xd800 && code < 0xe000 ? replacement : code);
    return 0;
}

static int read_escape(struct json_cursor *json, struct buffer *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (json->at == json->end)
        return -EBADMSG;
    char c = *json->at++;
    if (c == 'u')
        return read_unicode(json, out);
    const char *known = c != '\0' ? strchr(from, c) : NULL;
    if (known == NULL)
        return -EBADMSG;
    buffer_append(out, &to[known - from], 1);
    return 0;
}

int json_read_string(struct json_cursor *json, struct buffer *out)
{
    if (!json_accept(json, '"'))
        return -EBADMSG;
    for (;;) {
        const char *plain = json->at;
        while (json->at != json->end && *json->at != '"' && *json->at != '\\')
            json->at++;
        buffer_append(out, plain, (size_t)(json->at - plain));
        if (json->at == json->end)
            return -EBADMSG;
        if (*json->at++ == '"')
            return out->error;
        TRY(read_escape(json, out));
    }
}

int json_read_key(struct json_cursor *json, struct buffer *out)
{
    TRY(json_read_string(json, out));
    return json_accept(json, ':') ? 0 : -EBADMSG;
}

int json_read_word(struct json_cursor *json, struct buffer *out)
{
    json_peek(json);
    const char *start = json->at;
    while (json->at != json->end && memchr(",]} \t\n\r\"[{:", *json->at, 11) == NULL)
        json->at++;
    buffer_append(out, start, (size_t)(json->at - start));
    return json->at != start ? out->error : -EBADMSG;
}

static int skip_string(struct json_cursor *json)
{
    if (!json_accept(json, '"'))
        return -EBADMSG;
    for (; json->at != json->end; json->at++) {
        if (*json->at == '"') {
            json->at++;
            return 0;
        }
        if (*json->at == '\\' && ++json->at == json->end)
            break;
    }
    return -EBADMSG;
}

static int skip_scalar(struct json_cursor *json)
{
    if (json_peek(json) == '"')
        return skip_string(json);
    const char *start = json->at;
    while (json->at != json->end && memchr(",]} \t\n\r\"[{:", *json->at, 11) == NULL)
        json->at++;
    return json->at != start ? 0 : -EBADMSG;
}

static int skip_value(struct json_cursor *json, unsigned depth)
{
    bool object = json_accept(json, '{'), first = true;
    if (!object && !json_accept(json, '['))
        return skip_scalar(json);
    if (depth == JSON_MAX_DEPTH)
        return -EBADMSG;
    int more;
    while ((more = json_member(json, object ? '}' : ']', &first)) > 0) {
        if (object) {
            TRY(skip_string(json));
            if (!json_accept(json, ':'))
                return -EBADMSG;
        }
        TRY(skip_value(json, depth + 1));
    }
    return more;
}

int json_skip(struct json_cursor *json)
{
    return skip_value(json, 0);
}
