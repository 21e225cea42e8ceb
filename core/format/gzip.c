#include "format/gzip.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <zlib.h>

#include "format/refuse.h"

#define GZIP_WINDOW (15 + 16) /* the largest window, with gzip's own header */
#define GZIP_UNIX 3
#define STEP ((size_t)65536)

static int zlib_errno(int status)
{
    return status == Z_MEM_ERROR ? -ENOMEM : -EBADMSG;
}

int buffer_gzip(const struct buffer *in, struct buffer *out, int level)
{
    return gzip_pack(in, NULL, out, level);
}

int gzip_pack(const struct buffer *in, const struct buffer *extra, struct buffer *out,
              int level)
{
    z_stream stream = {0};
    gz_header head = {.os = GZIP_UNIX};
    if (in->size > UINT_MAX)
        return -EFBIG;
    int status = deflateInit2(&stream, level, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY);
    if (status != Z_OK)
        return status == Z_STREAM_ERROR ? -EINVAL : -ENOMEM;
    if (extra != NULL && extra->size > 0) {
        head.extra = extra->data;
        head.extra_len = (uInt)extra->size;
        head.hcrc = 1;
        deflateSetHeader(&stream, &head);
    }
    stream.next_in = in->data;
    stream.avail_in = (uInt)in->size;
    do {
        size_t before = out->size;
        unsigned char *at = buffer_extend(out, STEP);
        if (at == NULL) {
            status = Z_MEM_ERROR;
            break;
        }
        stream.next_out = at;
        stream.avail_out = (uInt)STEP;
        status = deflate(&stream, Z_FINISH);
        out->size = before + STEP - stream.avail_out;
    } while (status == Z_OK);
    deflateEnd(&stream);
    return status == Z_STREAM_END ? 0 : zlib_errno(status);
}

/* Inflates one step further; Z_OK, Z_STREAM_END, or what went wrong. */
static int inflate_step(z_stream *stream, struct buffer *out)
{
    size_t before = out->size;
    unsigned char *at = buffer_extend(out, STEP);
    if (at == NULL)
        return Z_MEM_ERROR;
    stream->next_out = at;
    stream->avail_out = (uInt)STEP;
    int status = inflate(stream, Z_NO_FLUSH);
    out->size = before + STEP - stream->avail_out;
    return status;
}

int buffer_gunzip(const unsigned char *data, size_t size, size_t limit, struct buffer *out)
{
    z_stream stream = {.next_in = (unsigned char *)data, .avail_in = (uInt)size};
    size_t start = out->size;
    if (size > UINT_MAX)
        return -EFBIG;
    if (inflateInit2(&stream, GZIP_WINDOW) != Z_OK)
        return -ENOMEM;
    int status;
    do {
        status = inflate_step(&stream, out);
        /* A gzip file may be several streams, one after the other. */
        if (status == Z_STREAM_END && stream.avail_in > 0)
            status = inflateReset(&stream);
    } while (status == Z_OK && out->size - start <= limit);
    inflateEnd(&stream);
    if (out->size - start > limit)
        return -EFBIG;
    return status == Z_STREAM_END ? 0 : zlib_errno(status);
}

/* Profiles shrink to a tenth or a fiftieth; what shrank more, and is large, was made to. */
static size_t inflated_limit(size_t size)
{
    const size_t always = (size_t)64 << 20, factor = 128;
    size_t limit = size < FORMAT_MAX_INFLATED / factor ? size * factor : FORMAT_MAX_INFLATED;
    return limit > always ? limit : always;
}

int gzip_unpack(const unsigned char *data, size_t size, struct buffer *raw,
                char error[FORMAT_ERROR_SIZE])
{
    const size_t limit = inflated_limit(size);
    int status = buffer_gunzip(data, size, limit, raw);
    if (status == -EFBIG)
        refuse(error, "unpacks to more than %zu bytes, from %zu", limit, size);
    else if (status != 0)
        refuse(error, "damaged gzip data after %zu unpacked bytes: %s", raw->size,
               strerror(-status));
    return status;
}

int gzip_read(const unsigned char *data, size_t size, struct profile *sum,
              int (*read)(const unsigned char *data, size_t size, struct profile *sum,
                          char error[FORMAT_ERROR_SIZE]),
              char error[FORMAT_ERROR_SIZE])
{
    struct buffer raw = {0};
    if (!gzip_detect(data, size))
        return read(data, size, sum, error);
    int status = gzip_unpack(data, size, &raw, error);
    if (status == 0)
        status = read(raw.data, raw.size, sum, error);
    buffer_free(&raw);
    return status;
}
