#include "format/python_marshal.h"

#include <errno.h>
#include <stdlib.h>

#include "format/refuse.h"

#define FLAG_REF 0x80 /* a later value may be "the same as this one" */

struct decoder {
    const unsigned char *at, *end;
    struct nested *in;
    uint32_t *refs; /* rows, by number */
    uint32_t ref_count, ref_room;
};

static bool take(struct decoder *d, size_t size, const unsigned char **bytes)
{
    *bytes = d->at;
    if ((size_t)(d->end - d->at) < size)
        return false;
    d->at += size;
    return true;
}

/* Lowest byte first. */
static bool take_number(struct decoder *d, size_t size, uint64_t *number)
{
    const unsigned char *bytes;
    if (!take(d, size, &bytes))
        return false;
    *number = 0;
    for (size_t i = size; i-- > 0;)
        *number = *number << 8 | bytes[i];
    return true;
}

static int add(struct decoder *d, struct nested_row row)
{
    return nested_add(d->in, row) != 0 ? 0 : -ENOMEM;
}

/* Digits of 15 bits, the lowest first; what needs more than 63 bits becomes as near as can be.
 */
static int add_long(struct decoder *d)
{
    uint64_t size, digit;
    if (!take_number(d, 4, &size))
        return -EBADMSG;
    const int32_t count = (int32_t)(uint32_t)size;
    const uint32_t digits = count < 0 ? 0u - (uint32_t)count : (uint32_t)count;
    double real = 0, weight = 1;
    int64_t whole = 0;
    for (uint32_t i = 0; i < digits; i++, weight *= 32768) {
        if (!take_number(d, 2, &digit) || digit > 32767)
            return -EBADMSG;
        whole |= i < 4 ? (int64_t)(digit << (15 * i)) : 0;
        real += (double)digit * weight;
    }
    if (digits > 4)
        return add(d,
                   (struct nested_row){.kind = NESTED_REAL, .real = count < 0 ? -real : real});
    return add(
        d, (struct nested_row){.kind = NESTED_INTEGER, .integer = count < 0 ? -whole : whole});
}

static int add_integer(struct decoder *d)
{
    uint64_t number;
    if (!take_number(d, 4, &number))
        return -EBADMSG;
    return add(
        d, (struct nested_row){.kind = NESTED_INTEGER, .integer = (int32_t)(uint32_t)number});
}

static int add_real(struct decoder *d)
{
    uint64_t bits;
    struct nested_row row = {.kind = NESTED_REAL};
    if (!take_number(d, 8, &bits))
        return -EBADMSG;
    memcpy(&row.real, &bits, sizeof(bits));
    return add(d, row);
}

static int add_text(struct decoder *d, size_t size_width)
{
    uint64_t size;
    const unsigned char *bytes;
    if (!take_number(d, size_width, &size) || !take(d, size, &bytes))
        return -EBADMSG;
    return add(d, (struct nested_row){.kind = NESTED_TEXT,
                                      .text = (const char *)bytes,
                                      .size = (uint32_t)size});
}

static int add_same(struct decoder *d)
{
    uint64_t number;
    if (!take_number(d, 4, &number) || number >= d->ref_count)
        return -EBADMSG;
    return add(d, (struct nested_row){.kind = NESTED_SAME, .row = d->refs[number]});
}

static int add_value(struct decoder *d, unsigned depth);

static int add_list(struct decoder *d, size_t size_width, unsigned depth)
{
    uint64_t count;
    if (!take_number(d, size_width, &count))
        return -EBADMSG;
    if (nested_open(d->in, NESTED_LIST) == 0)
        return -ENOMEM;
    while (count-- > 0)
        TRY(add_value(d, depth + 1));
    nested_close(d->in);
    return 0;
}

/* Keys and values in turns, until a key is '0'. */
static int add_dict(struct decoder *d, unsigned depth)
{
    if (nested_open(d->in, NESTED_MAP) == 0)
        return -ENOMEM;
    for (;;) {
        if (d->at == d->end)
            return -EBADMSG;
        if (*d->at == '0')
            break;
        TRY(add_value(d, depth + 1));
        TRY(add_value(d, depth + 1));
    }
    d->at++;
    nested_close(d->in);
    return 0;
}

/* The row that is next, for values that say they are the same as it. */
static int note_ref(struct decoder *d)
{
    if (d->ref_count == d->ref_room) {
        uint32_t room = d->ref_room + d->ref_room / 2 + 256;
        uint32_t *refs = realloc(d->refs, room * sizeof(*refs));
        if (refs == NULL)
            return -ENOMEM;
        d->refs = refs;
        d->ref_room = room;
    }
    d->refs[d->ref_count++] = d->in->count != 0 ? d->in->count : NESTED_ROOT;
    return 0;
}

static int add_value(struct decoder *d, unsigned depth)
{
    if (d->at == d->end || depth > PYTHON_MARSHAL_DEEPEST)
        return -EBADMSG;
    unsigned char type = *d->at++;
    if (type & FLAG_REF)
        TRY(note_ref(d));
    switch (type & ~FLAG_REF) {
    case 'N':
        return add(d, (struct nested_row){.kind = NESTED_NOTHING});
    case 'T':
    case 'F':
        return add(d, (struct nested_row){.kind = NESTED_BOOLEAN,
                                          .integer = (type & ~FLAG_REF) == 'T'});
    case 'i':
        return add_integer(d);
    case 'l':
        return add_long(d);
    case 'g':
        return add_real(d);
    case 's':
    case 'u':
    case 't':
    case 'a':
    case 'A':
        return add_text(d, 4);
    case 'z':
    case 'Z':
        return add_text(d, 1);
    case 'r':
        return add_same(d);
    case ')':
        return add_list(d, 1, depth);
    case '(':
    case '[':
        return add_list(d, 4, depth);
    case '{':
        return add_dict(d, depth);
    case 'c':
        return -ENOTSUP;
    default:
        return -EBADMSG;
    }
}

int python_marshal_read(struct nested *in, struct slice bytes, char error[FORMAT_ERROR_SIZE])
{
    struct decoder d = {
        .at = (const unsigned char *)bytes.text,
        .end = (const unsigned char *)bytes.text + bytes.length,
        .in = in,
    };
    int status = add_value(&d, 0);
    free(d.refs);
    if (status == -ENOMEM)
        return refuse_memory(error);
    if (status == -ENOTSUP)
        return refuse(error, "has compiled code of Python in it, as -m profile leaves it (-m "
                             "cProfile does not)");
    return status == 0 ? 0
                       : refuse(error, "not valid marshal of Python: damaged at byte %zu",
                                (size_t)(d.at - (const unsigned char *)bytes.text));
}
