/* What readers need of gzip; the rest is in format.h. */
#ifndef CPROF_FORMAT_GZIP_H
#define CPROF_FORMAT_GZIP_H

#include <stdbool.h>

#include "format/format.h"

/* Does it begin as gzip does? */
static inline bool gzip_detect(const unsigned char *data, size_t size)
{
    return size >= 2 && data[0] == 0x1f && data[1] == 0x8b;
}

/* buffer_gzip(), with bytes for the header's extra field, 65,535 at most, and the header's own
 * checksum; NULL: neither. */
int gzip_pack(const struct buffer *in, const struct buffer *extra, struct buffer *out,
              int level);

/* The data unpacked, up to 64 MiB or 128 times its size, whichever is more, and never more than
 * FORMAT_MAX_INFLATED. 0 or a negative errno with a line in `error`; `raw` is the caller's. */
int gzip_unpack(const unsigned char *data, size_t size, struct buffer *raw,
                char error[FORMAT_ERROR_SIZE]);

/* struct format's read, of data that may be packed: calls `read` with the data unpacked. */
int gzip_read(const unsigned char *data, size_t size, struct profile *sum,
              int (*read)(const unsigned char *data, size_t size, struct profile *sum,
                          char error[FORMAT_ERROR_SIZE]),
              char error[FORMAT_ERROR_SIZE]);

#endif
