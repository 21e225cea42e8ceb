/*
 * A row for programs: the same keys and values as a JSON object, or as a line of CSV (RFC 4180,
 * with "\n" at the end) below a line of the keys.
 */
#ifndef CPROF_CLI_RECORD_H
#define CPROF_CLI_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/format.h"

enum record_format { RECORD_JSON, RECORD_CSV, RECORD_CSV_KEYS /* the line of the keys */ };

struct record {
    struct buffer *out;
    enum record_format format;
    bool begun; /* something stands in it */
};

/* Between these two stand the values; JSON may get more of them, written to the buffer, before
 * the end. */
struct record record_begin(struct buffer *out, enum record_format format);
void record_end(struct record *record);

void record_text(struct record *record, const char *key, const char *text, size_t length);
void record_integer(struct record *record, const char *key, int64_t value);
/* What is no finite number is 0. */
void record_real(struct record *record, const char *key, double value);
void record_flag(struct record *record, const char *key, bool value);

#endif
