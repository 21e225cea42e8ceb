/*
 * gperftools' CPU profiles, as its libprofiler writes them (CPUPROFILE=x): words of the machine
 * that wrote them, 4 or 8 bytes of either order. A head (0, 3, 0, the period in microseconds,
 * 0), records (count, depth, addresses: leaf first), a last one (0, 1, 0), and the text of
 * /proc/self/maps. There are no names in it: they come from the programs' files. Untrusted
 * input; no state.
 */
#ifndef CPROF_FORMAT_GPERFTOOLS_H
#define CPROF_FORMAT_GPERFTOOLS_H

#include <stdbool.h>

#include "format/format.h"

bool gperftools_detect(const unsigned char *data, size_t size);

#endif
