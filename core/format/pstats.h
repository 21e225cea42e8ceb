/* What cProfile and profile write; see pstats.c. */
#ifndef CPROF_FORMAT_PSTATS_H
#define CPROF_FORMAT_PSTATS_H

#include <stdbool.h>

#include "format/format.h"

/* Is it a marshalled dict whose first key is a tuple of three? */
bool pstats_detect(const unsigned char *data, size_t size);

/* struct format's write. */
int pstats_write(const struct profile *p, struct buffer *out);

#endif
