/*
 * A dump as JSON: "threads", "tasks" and so on, each with the index of its stack, and "stacks",
 * each with the number of threads that have it and its frames, innermost first. Documented in
 * docs/dump.md. A stack that several threads have stands once.
 */
#ifndef CPROF_DUMP_JSON_H
#define CPROF_DUMP_JSON_H

#include "dump/pages.h"

void dump_write_json(const struct dump *dump, const struct dump_origin *origin,
                     struct buffer *out);

#endif
