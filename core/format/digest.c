#include "format/digest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "format/wire.h"
#include "profile/clamp.h"

#define FIELD_MOST 65535 /* bytes of the extra field */
#define GZIP_HEAD 10
#define FLAGS 6 /* of gzip: an extra field, a checksum of the header, and no more */
#define CHECKSUM 2
#define SUBFIELD 4 /* two letters and a length */

/* ---- making ---- */

int64_t digest_total(const struct profile *profile, size_t column)
{
    const size_t sheet = profile_column_sheet(profile, column);
    const size_t end = profile_first_sample(profile, sheet + 1);
    int64_t total = 0;
    for (size_t i = profile_first_sample(profile, sheet); i < end; i++) {
        const struct profile_sample sample = profile_get_sample(profile, i);
        total = clamp_add(total, profile_value(profile, &sample, column));
    }
    return total;
}

size_t digest_type(struct digest *digest, const char *name, const char *unit)
{
    size_t i = 0;
    while (i < digest->type_count && (strcmp(digest->types[i].name, name) != 0 ||
                                      strcmp(digest->types[i].unit, unit) != 0))
        i++;
    if (i == digest->type_count && i < DIGEST_TYPES) {
        digest->types[i].name = name;
        digest->types[i].unit = unit;
        digest->type_count++;
    }
    return i;
}

static void write_text(struct buffer *out, const char *text)
{
    wire_number(out, strlen(text));
    buffer_append(out, text, strlen(text));
}

void digest_write(const struct digest *digest, struct buffer *out)
{
    struct buffer content = {0};
    write_text(&content, digest->service);
    wire_number(&content, digest->type_count);
    for (size_t i = 0; i < digest->type_count; i++) {
        write_text(&content, digest->types[i].name);
        write_text(&content, digest->types[i].unit);
    }
    columns_write(&digest->intervals, &content);
    if (content.error == 0 && content.size + SUBFIELD <= FIELD_MOST) {
        const unsigned char head[SUBFIELD] = {'c', 'p', (unsigned char)(content.size & 0xff),
                                              (unsigned char)(content.size >> 8)};
        buffer_append(out, head, SUBFIELD);
        buffer_append(out, content.data, content.size);
    }
    buffer_free(&content);
}

/* ---- reading ---- */

static size_t two_bytes(const unsigned char *at)
{
    return (size_t)at[0] | (size_t)at[1] << 8;
}

/* 0 and the extra field, which nothing but the header's checksum follows. */
static int find_field(const unsigned char *data, size_t size, struct wire_cursor *field)
{
    if (size < GZIP_HEAD + 2)
        return -EAGAIN;
    if (data[0] != 0x1f || data[1] != 0x8b || data[3] != FLAGS)
        return -ENODATA;
    const size_t end = GZIP_HEAD + 2 + two_bytes(data + GZIP_HEAD);
    if (size < end + CHECKSUM)
        return -EAGAIN;
    *field = (struct wire_cursor){data + GZIP_HEAD + 2, data + end};
    return (crc32(0, data, (uInt)end) & 0xffff) == two_bytes(data + end) ? 0 : -EBADMSG;
}

/* 0 and the subfield's content. */
static int find(const unsigned char *data, size_t size, struct wire_cursor *content)
{
    struct wire_cursor field;
    int status = find_field(data, size, &field);
    while (status == 0 && field.end - field.at >= SUBFIELD) {
        const unsigned char *at = field.at;
        const size_t length = two_bytes(at + 2);
        if (length > (size_t)(field.end - at) - SUBFIELD)
            return -EBADMSG;
        *content = (struct wire_cursor){at + SUBFIELD, at + SUBFIELD + length};
        if (at[0] == 'c' && at[1] == 'p')
            return 0;
        field.at = content->end;
    }
    return status != 0 ? status : -ENODATA;
}

/* The next text, as one of `texts`, which has room for all of them. */
static bool read_text(struct wire_cursor *from, char **texts, const char **text)
{
    uint64_t length;
    if (!wire_next_number(from, &length) || length > (size_t)(from->end - from->at))
        return false;
    memcpy(*texts, from->at, (size_t)length);
    (*texts)[length] = '\0';
    *text = *texts;
    *texts += length + 1;
    from->at += length;
    return true;
}

static int read_texts(struct wire_cursor *from, struct digest *digest)
{
    uint64_t count;
    char *at = digest->texts;
    if (!read_text(from, &at, &digest->service) || !wire_next_number(from, &count) ||
        count > DIGEST_TYPES)
        return -EBADMSG;
    for (; digest->type_count < count; digest->type_count++)
        if (!read_text(from, &at, &digest->types[digest->type_count].name) ||
            !read_text(from, &at, &digest->types[digest->type_count].unit))
            return -EBADMSG;
    return 0;
}

static int read_content(struct wire_cursor *from, struct digest *digest)
{
    /* Each text takes a byte more here than there. */
    digest->texts = malloc((size_t)(from->end - from->at) + 2 + 2 * DIGEST_TYPES);
    if (digest->texts == NULL)
        return -ENOMEM;
    int status = read_texts(from, digest);
    if (status == 0)
        status = columns_read(&digest->intervals, DIGEST_WIDTH, from);
    for (size_t i = 0; status == 0 && i < digest->intervals.rows; i++)
        if (columns_row(&digest->intervals, i)[DIGEST_TYPE] >= digest->type_count)
            status = -EBADMSG;
    return status;
}

int digest_read(const unsigned char *data, size_t size, struct digest *digest)
{
    struct wire_cursor content;
    *digest = (struct digest){0};
    int status = find(data, size, &content);
    if (status != 0)
        return status;
    status = read_content(&content, digest);
    if (status != 0)
        digest_free(digest);
    return status;
}

void digest_free(struct digest *digest)
{
    columns_free(&digest->intervals);
    free(digest->texts);
    *digest = (struct digest){0};
}
