/* What the two halves of the Firefox Profiler's format agree on; see gecko_read.c. */
#ifndef CPROF_FORMAT_GECKO_H
#define CPROF_FORMAT_GECKO_H

#include "format/format.h"

/* struct format's write. */
int gecko_write(const struct profile *p, struct buffer *out);

#endif
