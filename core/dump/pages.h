/*
 * A dump as bytes: text for people, JSON for programs, pprof for the tools that read profiles.
 */
#ifndef CPROF_DUMP_PAGES_H
#define CPROF_DUMP_PAGES_H

#include <stddef.h>

#include "dump/dump.h"
#include "format/format.h"

enum dump_format { DUMP_TEXT, DUMP_JSON, DUMP_PPROF, DUMP_FORMATS };

/* What stands at the head. */
struct dump_origin {
    const char *service;
    const char *runtime; /* "cpython" */
    long pid;
};

/* The format of that name, or -1. */
int dump_format_of(const char *name, size_t length);

/* The type of the page, for HTTP. */
const char *dump_content_type(enum dump_format format);

/* Appends the page. 0 or a negative errno. */
int dump_write(const struct dump *dump, const struct dump_origin *origin,
               enum dump_format format, struct buffer *out);

#endif
