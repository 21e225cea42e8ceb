#include "format/ruby_marshal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "format/refuse.h"

/* What later values may name by number: symbols by their text, objects by their row. */
struct numbered {
    struct {
        struct slice text;
        uint32_t row;
    } * list;
    uint32_t count, room;
};

struct decoder {
    const unsigned char *at, *end;
    struct nested *in;
    struct numbered symbols, objects;
};

static int number(struct numbered *numbered, struct slice text, uint32_t row)
{
    if (numbered->count == numbered->room) {
        uint32_t room = numbered->room + numbered->room / 2 + 64;
        void *list = realloc(numbered->list, room * sizeof(*numbered->list));
        if (list == NULL)
            return -ENOMEM;
        numbered->list = list;
        numbered->room = room;
    }
    numbered->list[numbered->count].text = text;
    numbered->list[numbered->count++].row = row;
    return 0;
}

static bool take(struct decoder *d, size_t size, struct slice *bytes)
{
    *bytes = (struct slice){(const char *)d->at, size};
    if ((size_t)(d->end - d->at) < size)
        return false;
    d->at += size;
    return true;
}

/* 0, small numbers in a byte, others behind the count of their bytes, lowest first; negative
 * counts are of negative numbers. */
static bool take_fixnum(struct decoder *d, int64_t *value)
{
    const int small = 5;
    if (d->at == d->end)
        return false;
    const int byte = *d->at++, first = byte < 128 ? byte : byte - 256;
    *value = first == 0 ? 0 : first > 0 ? first - small : first + small;
    if (first == 0 || first >= small || first <= -small)
        return true;
    size_t size = (size_t)abs(first);
    if ((size_t)(d->end - d->at) < size)
        return false;
    *value = first > 0 ? 0 : -1;
    for (size_t i = 0; i < size; i++) {
        uint64_t mask = ~((uint64_t)0xff << (8 * i));
        *value = (int64_t)(((uint64_t)*value & mask) | (uint64_t)*d->at++ << (8 * i));
    }
    return true;
}

/* A length, and that many bytes. */
static bool take_bytes(struct decoder *d, struct slice *bytes)
{
    int64_t length;
    return take_fixnum(d, &length) && length >= 0 && take(d, (size_t)length, bytes);
}

static int add(struct decoder *d, struct nested_row row)
{
    return nested_add(d->in, row) != 0 ? 0 : -ENOMEM;
}

static int add_text(struct decoder *d, struct slice text)
{
    return add(d, (struct nested_row){
                      .kind = NESTED_TEXT, .text = text.text, .size = (uint32_t)text.length});
}

/* The row that is next is an object. */
static int number_object(struct decoder *d)
{
    return number(&d->objects, (struct slice){0},
                  d->in->count != 0 ? d->in->count : NESTED_ROOT);
}

/* A symbol behind its ':', or the number of an earlier one behind ';'. */
static int take_symbol(struct decoder *d, unsigned char type, struct slice *text)
{
    int64_t index;
    if (type == ':')
        return take_bytes(d, text) ? number(&d->symbols, *text, 0) : -EBADMSG;
    if (!take_fixnum(d, &index) || index < 0 || index >= d->symbols.count)
        return -EBADMSG;
    *text = d->symbols.list[index].text;
    return 0;
}

static int add_fixnum(struct decoder *d)
{
    int64_t value;
    if (!take_fixnum(d, &value))
        return -EBADMSG;
    return add(d, (struct nested_row){.kind = NESTED_INTEGER, .integer = value});
}

/* A sign, a count of words of 16 bits, and these, the lowest first. */
static int add_bignum(struct decoder *d)
{
    struct slice sign, bytes;
    int64_t words;
    if (!take(d, 1, &sign) || !take_fixnum(d, &words) || words < 0 || words > INT32_MAX ||
        !take(d, 2 * (size_t)words, &bytes))
        return -EBADMSG;
    double real = 0;
    uint64_t whole = 0;
    bool fits = true;
    for (size_t i = bytes.length; i-- > 0;) {
        fits = fits && whole >> 55 == 0; /* and so it stays below 2^63 */
        whole = whole << 8 | (unsigned char)bytes.text[i];
        real = real * 256 + (unsigned char)bytes.text[i];
    }
    TRY(number_object(d));
    if (!fits)
        return add(d, (struct nested_row){.kind = NESTED_REAL,
                                          .real = *sign.text == '-' ? -real : real});
    int64_t integer = (int64_t)whole;
    return add(d, (struct nested_row){.kind = NESTED_INTEGER,
                                      .integer = *sign.text == '-' ? -integer : integer});
}

static int add_float(struct decoder *d)
{
    struct slice digits;
    char text[64];
    if (!take_bytes(d, &digits) || digits.length >= sizeof(text))
        return -EBADMSG;
    memcpy(text, digits.text, digits.length);
    text[digits.length] = '\0';
    TRY(number_object(d));
    double real = strtod(text, NULL);
    return add(d, (struct nested_row){.kind = NESTED_REAL, .real = isnan(real) ? 0 : real});
}

static int add_string(struct decoder *d)
{
    struct slice text;
    if (!take_bytes(d, &text))
        return -EBADMSG;
    TRY(number_object(d));
    return add_text(d, text);
}

static int add_same(struct decoder *d)
{
    int64_t index;
    if (!take_fixnum(d, &index) || index < 0 || index >= d->objects.count)
        return -EBADMSG;
    return add(d, (struct nested_row){.kind = NESTED_SAME, .row = d->objects.list[index].row});
}

static int add_value(struct decoder *d, unsigned depth);

static int add_members(struct decoder *d, enum nested_kind kind, unsigned depth)
{
    int64_t count;
    if (!take_fixnum(d, &count) || count < 0)
        return -EBADMSG;
    TRY(number_object(d));
    if (nested_open(d->in, kind) == 0)
        return -ENOMEM;
    for (int64_t i = 0; i < count; i++) {
        TRY(add_value(d, depth + 1));
        if (kind == NESTED_MAP)
            TRY(add_value(d, depth + 1));
    }
    nested_close(d->in);
    return 0;
}

/* The value of an instance variable of a string, which says its encoding. */
static int skip_encoding(struct decoder *d)
{
    struct slice text;
    int64_t index;
    if (d->at == d->end)
        return -EBADMSG;
    switch (*d->at++) {
    case 'T':
    case 'F':
        return 0;
    case '"':
        return take_bytes(d, &text) ? number(&d->objects, text, 0) : -EBADMSG;
    case '@':
        return take_fixnum(d, &index) ? 0 : -EBADMSG;
    default:
        return -EBADMSG;
    }
}

static int add_with_variables(struct decoder *d, unsigned depth)
{
    struct slice name;
    int64_t count;
    TRY(add_value(d, depth + 1));
    if (!take_fixnum(d, &count))
        return -EBADMSG;
    for (int64_t i = 0; i < count; i++) {
        if (d->at == d->end || (*d->at != ':' && *d->at != ';'))
            return -EBADMSG;
        unsigned char type = *d->at++;
        TRY(take_symbol(d, type, &name));
        TRY(skip_encoding(d));
    }
    return 0;
}

static int add_value(struct decoder *d, unsigned depth)
{
    struct slice symbol = {0};
    if (d->at == d->end || depth > RUBY_MARSHAL_DEEPEST)
        return -EBADMSG;
    unsigned char type = *d->at++;
    switch (type) {
    case '0':
        return add(d, (struct nested_row){.kind = NESTED_NOTHING});
    case 'T':
    case 'F':
        return add(d, (struct nested_row){.kind = NESTED_BOOLEAN, .integer = type == 'T'});
    case 'i':
        return add_fixnum(d);
    case 'l':
        return add_bignum(d);
    case 'f':
        return add_float(d);
    case '"':
        return add_string(d);
    case ':':
    case ';':
        TRY(take_symbol(d, type, &symbol));
        return add_text(d, symbol);
    case '@':
        return add_same(d);
    case 'I':
        return add_with_variables(d, depth);
    case '[':
        return add_members(d, NESTED_LIST, depth);
    case '{':
        return add_members(d, NESTED_MAP, depth);
    default:
        return -EBADMSG;
    }
}

int ruby_marshal_read(struct nested *in, struct slice bytes, char error[FORMAT_ERROR_SIZE])
{
    struct decoder d = {
        .at = (const unsigned char *)bytes.text,
        .end = (const unsigned char *)bytes.text + bytes.length,
        .in = in,
    };
    int status = -EBADMSG;
    if (slice_starts(bytes, RUBY_MARSHAL_VERSION)) {
        d.at += strlen(RUBY_MARSHAL_VERSION);
        status = add_value(&d, 0);
    }
    free(d.symbols.list);
    free(d.objects.list);
    if (status == -ENOMEM)
        return refuse_memory(error);
    return status == 0 ? 0
                       : refuse(error, "not valid Marshal of Ruby: damaged at byte %zu",
                                (size_t)(d.at - (const unsigned char *)bytes.text));
}
