#include "export/grpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export/answer.h"
#include "export/http.h"

enum {
    CANCELLED = 1,
    DEADLINE_EXCEEDED = 4,
    ABORTED = 10,
    OUT_OF_RANGE = 11,
    UNAVAILABLE = 14,
    DATA_LOSS = 15,
};

static const struct {
    const char *name;
    int http;
} codes[] = {
    {"OK", 200},
    {"CANCELLED", 499},
    {"UNKNOWN", 500},
    {"INVALID_ARGUMENT", 400},
    {"DEADLINE_EXCEEDED", 504},
    {"NOT_FOUND", 404},
    {"ALREADY_EXISTS", 409},
    {"PERMISSION_DENIED", 403},
    {"RESOURCE_EXHAUSTED", 413},
    {"FAILED_PRECONDITION", 400},
    {"ABORTED", 409},
    {"OUT_OF_RANGE", 400},
    {"UNIMPLEMENTED", 404}, /* as a path that nobody serves */
    {"INTERNAL", 500},
    {"UNAVAILABLE", 503},
    {"DATA_LOSS", 500},
    {"UNAUTHENTICATED", 401},
};
#define CODE_COUNT ((int)(sizeof codes / sizeof *codes))

void grpc_prefix(unsigned char prefix[GRPC_PREFIX_SIZE], bool packed, size_t size)
{
    prefix[0] = packed;
    for (int i = 1; i < GRPC_PREFIX_SIZE; i++)
        prefix[i] = (unsigned char)(size >> 8 * (GRPC_PREFIX_SIZE - 1 - i));
}

const void *grpc_message(const void *body, size_t body_size, size_t *size)
{
    const unsigned char *bytes = body;
    if (body_size < GRPC_PREFIX_SIZE || bytes[0] != 0)
        return NULL;
    *size = 0;
    for (int i = 1; i < GRPC_PREFIX_SIZE; i++)
        *size = *size << 8 | bytes[i];
    return *size <= body_size - GRPC_PREFIX_SIZE ? bytes + GRPC_PREFIX_SIZE : NULL;
}

int grpc_status(const char *value)
{
    char *end;
    long code = strtol(value, &end, 10);
    return end != value && *end == '\0' && code >= 0 && code < 1000 ? (int)code
                                                                    : GRPC_NO_STATUS;
}

const char *grpc_name(int code, char text[16])
{
    if (code >= 0 && code < CODE_COUNT)
        return codes[code].name;
    snprintf(text, 16, "status %d", code);
    return text;
}

int grpc_as_http(int code)
{
    return code >= 0 && code < CODE_COUNT ? codes[code].http : 500;
}

bool grpc_is_passing(int code, bool wish)
{
    switch (code) {
    case CANCELLED:
    case DEADLINE_EXCEEDED:
    case ABORTED:
    case OUT_OF_RANGE:
    case UNAVAILABLE:
    case DATA_LOSS:
        return true;
    case GRPC_RESOURCE_EXHAUSTED:
        return wish;
    default:
        return false;
    }
}

static int digit_value(char c, const char *digits)
{
    const char *at = c != '\0' ? strchr(digits, c) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

static int hex_value(char c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    int value = digit_value(c, digits);
    return value >= 0 ? value % 16 : -1;
}

void grpc_decode_message(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        int high = *from == '%' ? hex_value(from[1]) : -1;
        int low = high >= 0 ? hex_value(from[2]) : -1;
        if (low >= 0) {
            *to++ = (char)(high * 16 + low);
            from += 2;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

/* Both alphabets, with and without padding; stops at what is neither. */
static size_t decode_base64(const char *text, unsigned char *bytes, size_t room)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned bits = 0, held = 0;
    size_t size = 0;
    for (; size < room; text++) {
        int value = digit_value(*text == '-' ? '+' : *text == '_' ? '/' : *text, digits);
        if (value < 0)
            break;
        held = (held << 6 | (unsigned)value) & 0xffff;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            bytes[size++] = (unsigned char)(held >> bits);
        }
    }
    return size;
}

bool grpc_retry_info(const char *header, uint64_t *delay_ns)
{
    unsigned char bytes[HTTP_MAX_VALUE];
    size_t size = decode_base64(header, bytes, sizeof bytes);
    return answer_retry_info(bytes, size, delay_ns);
}
