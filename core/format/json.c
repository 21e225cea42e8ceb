#include "format/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "format/utf8.h"

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

static void append_escape(struct buffer *out, unsigned character)
{
    char escape[8];
    int length = snprintf(escape, sizeof(escape), "\\u%04x", character & 0xffff);
    buffer_append(out, escape, (size_t)length);
}

void json_string(struct buffer *out, const char *text, size_t length)
{
    size_t plain = 0; /* start of the run that needs no change */
    json_raw(out, "\"");
    for (size_t at = 0; at < length;) {
        size_t size = utf8_length(text + at, length - at);
        unsigned char c = (unsigned char)text[at];
        if (size > 0 && c >= 0x20 && c != 0x7f && c != '"' && c != '\\' && c != '<') {
            at += size;
            continue;
        }
        buffer_append(out, text + plain, at - plain);
        append_escape(out, size > 0 ? c : 0xfffd);
        plain = ++at;
    }
    buffer_append(out, text + plain, length - plain);
    json_raw(out, "\"");
}
