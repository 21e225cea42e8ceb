#include "format/json.h"

#include <stdio.h>
#include <string.h>

#include "format/utf8.h"

void json_raw(struct buffer *out, const char *text)
{
    buffer_append(out, text, strlen(text));
}

/* By hand: a page has millions of them. */
void json_integer(struct buffer *out, int64_t value)
{
    char digits[24], *at = digits + sizeof(digits);
    uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
    do {
        *--at = (char)('0' + left % 10);
        left /= 10;
    } while (left != 0);
    if (value < 0)
        *--at = '-';
    buffer_append(out, at, (size_t)(digits + sizeof(digits) - at));
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
