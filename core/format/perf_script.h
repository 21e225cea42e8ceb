/* The text that `perf script` prints; see perf_script.c. */
#ifndef CPROF_FORMAT_PERF_SCRIPT_H
#define CPROF_FORMAT_PERF_SCRIPT_H

#include <stdbool.h>

#include "format/format.h"

/* Does the text begin with a sample of perf's? */
bool perf_script_detect(const unsigned char *data, size_t size);

#endif
