/* What callgrind writes; see callgrind.c. */
#ifndef CPROF_FORMAT_CALLGRIND_H
#define CPROF_FORMAT_CALLGRIND_H

#include <stdbool.h>

#include "format/format.h"

/* Does it begin with the lines of a callgrind file? */
bool callgrind_detect(const unsigned char *data, size_t size);

/* struct format's write. */
int callgrind_write(const struct profile *p, struct buffer *out);

#endif
