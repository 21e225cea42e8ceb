/*
 * The page /debug/pprof/: the processes whose profiles can be had at this address, each with a
 * link. The one that answers comes first.
 */
#ifndef CPROF_PULL_INDEX_H
#define CPROF_PULL_INDEX_H

#include <stdbool.h>

#include "format/format.h"

#define INDEX_PROCESSES 256 /* more are counted, not listed */

/* `port`: whose doors are asked for (siblings.h), or 0. `local`: nobody but this host reads the
 * page; only then it has the processes' arguments, else their names. */
void index_write(unsigned port, bool local, struct buffer *page);

#endif
