/* What the heap profilers of gperftools and jemalloc write; see heap_text.c. */
#ifndef CPROF_FORMAT_HEAP_TEXT_H
#define CPROF_FORMAT_HEAP_TEXT_H

#include <stdbool.h>

#include "format/format.h"

bool heap_text_detect(const unsigned char *data, size_t size);

#endif
