/*
 * JSON, read where it lies: a cursor that the caller moves through objects and arrays as it
 * expects them to be. Untrusted input: whatever it is, a function says -EBADMSG rather than
 * read past the end, and values that are skipped nest JSON_MAX_DEPTH deep at most. No state but
 * the cursor, no memory but the caller's buffer.
 */
#ifndef CPROF_FORMAT_JSON_READ_H
#define CPROF_FORMAT_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>

#include "format/format.h"

#define JSON_MAX_DEPTH 64

struct json_cursor {
    const char *at, *end;
};

/* Does the text begin as a JSON object does? Not as "{main};work 3". */
bool json_detect(const unsigned char *data, size_t size);

/* The next character that is no blank; 0 at the end. */
char json_peek(struct json_cursor *json);

/* Steps over that character if it is `wanted`. */
bool json_accept(struct json_cursor *json, char wanted);

/* For the members of an object or array whose opening bracket has been accepted: 1 before each,
 * 0 past the closing bracket, -EBADMSG. Begin with *first true. */
int json_member(struct json_cursor *json, char closing, bool *first);

/* Appends a string's text to `out`, its escapes resolved, as UTF-8. 0, -EBADMSG, -ENOMEM. */
int json_read_string(struct json_cursor *json, struct buffer *out);

/* Appends the name of an object's member and steps over the colon. */
int json_read_key(struct json_cursor *json, struct buffer *out);

/* Appends a number, true, false or null as it stands. */
int json_read_word(struct json_cursor *json, struct buffer *out);

/* Steps over any value. */
int json_skip(struct json_cursor *json);

#endif
