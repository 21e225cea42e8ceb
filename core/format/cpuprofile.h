/* What the two halves of V8's CPU profiles agree on; see cpuprofile.c. */
#ifndef CPROF_FORMAT_CPUPROFILE_H
#define CPROF_FORMAT_CPUPROFILE_H

#include "format/format.h"

/* struct format's write. */
int cpuprofile_write(const struct profile *p, struct buffer *out);

#endif
