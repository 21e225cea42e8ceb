/* What Ruby's stackprof writes; see stackprof.c. */
#ifndef CPROF_FORMAT_STACKPROF_H
#define CPROF_FORMAT_STACKPROF_H

#include <stdbool.h>

#include "format/format.h"

/* Is it one of its dumps, a marshalled hash? Those in JSON are known by their keys. */
bool stackprof_detect(const unsigned char *data, size_t size);

#endif
