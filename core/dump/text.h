/*
 * A dump as people read it: deadlocks first, in words; then the threads, those with one stack
 * that wait for the same together, with their number. What runs comes first, what is idle last.
 */
#ifndef CPROF_DUMP_TEXT_H
#define CPROF_DUMP_TEXT_H

#include "dump/pages.h"

#define TEXT_MEMBERS 16 /* of a group that are named; the others are counted */

void dump_write_text(const struct dump *dump, const struct dump_origin *origin,
                     struct buffer *out);

#endif
