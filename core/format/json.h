/*
 * JSON, written to a buffer. The caller keeps the structure valid; these see to the leaves.
 * Errors are the buffer's own sticky one.
 */
#ifndef CPROF_FORMAT_JSON_H
#define CPROF_FORMAT_JSON_H

#include <stddef.h>
#include <stdint.h>

#include "format/format.h"

/* The text as it stands: punctuation, keys, constants. */
void json_raw(struct buffer *out, const char *text);

/* A string with its quotes. Bytes that are not UTF-8 become U+FFFD each; control characters
 * and "<" are escaped, so that the result may stand inside a page's script as well. */
void json_string(struct buffer *out, const char *text, size_t length);

void json_integer(struct buffer *out, int64_t value);

#endif
