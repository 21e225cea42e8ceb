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

/* Calls `read` with the data, unpacked first (up to FORMAT_MAX_INFLATED) if it is packed. */
struct profile *gzip_read(const unsigned char *data, size_t size,
                          struct profile *(*read)(const unsigned char *data, size_t size,
                                                  char error[FORMAT_ERROR_SIZE]),
                          char error[FORMAT_ERROR_SIZE]);

#endif
