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

/* buffer_gunzip() up to FORMAT_MAX_INFLATED, with a line in `error`. */
int gzip_open(const unsigned char *data, size_t size, struct buffer *out,
              char error[FORMAT_ERROR_SIZE]);

#endif
