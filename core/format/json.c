#include "format/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void json_raw(struct buffer *out, const char *text)
{
    buffer_append(out, text, strlen(text));
}

void json_integer(struct buffer *out, int64_t value)
{
    char digits[24];
    int length = snprintf(digits, sizeof(digits), "%" PRId64, value);
    buffer_append(out, digits, (size_t)length);
}

/* How many bytes the UTF-8 character at `text` takes, or 0 when there is none: overlong forms,
 * surrogates and what lies beyond U+10FFFF are not characters. */
static size_t utf8_length(const unsigned char *text, size_t left)
{
    static const struct {
        unsigned char first_low, first_high, second_low, second_high, length;
    } forms[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (text[0] < forms[i].first_low || text[0] > forms[i].first_high)
            continue;
        size_t length = forms[i].length;
        if (length > left)
            return 0;
        if (length > 1 && (text[1] < forms[i].second_low || text[1] > forms[i].second_high))
            return 0;
        for (size_t k = 2; k < length; k++)
            if ((text[k] & 0xc0) != 0x80)
                return 0;
        return length;
    }
    return 0;
}

static void append_escape(struct buffer *out, unsigned character)
{
    char escape[8];
    int length = snprintf(escape, sizeof(escape), "\\u%04x", character & 0xffff);
    buffer_append(out, escape, (size_t)length);
}

void json_string(struct buffer *out, const char *text, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t plain = 0; /* start of the run that needs no change */
    json_raw(out, "\"");
    for (size_t at = 0; at < length;) {
        size_t size = utf8_length(bytes + at, length - at);
        unsigned char c = bytes[at];
        if (size > 0 && c >= 0x20 && c != 0x7f && c != '"' && c != '\\' && c != '<') {
            at += size;
            continue;
        }
        buffer_append(out, bytes + plain, at - plain);
        append_escape(out, size > 0 ? c : 0xfffd);
        plain = ++at;
    }
    buffer_append(out, bytes + plain, length - plain);
    json_raw(out, "\"");
}
