/*
 * Untrusted nested data, decoded: numbers, text, lists and maps, whatever encoding they came in
 * (JSON, Python's and Ruby's marshal). A decoder fills it once, in the order of the input; then
 * it is read by number of row.
 *
 * Rows lie one after another as in the input, what is inside a list or map behind it, so that
 * nothing is nested in memory and no depth is too much. A map's members are its keys and values
 * in turns. A row takes 16 bytes and stands for a byte of input at least: with what growing
 * wastes that is below 64 times the input's size.
 *
 * Row 0 is nothing: what is missing is there, and everything may be asked of it. Text lies in
 * the input, which must stay. Owned by one reader; not locked.
 */
#ifndef CPROF_FORMAT_NESTED_H
#define CPROF_FORMAT_NESTED_H

#include "format/format.h"
#include "format/slice.h"

enum nested_kind {
    NESTED_NOTHING, /* null, or missing */
    NESTED_BOOLEAN,
    NESTED_INTEGER,
    NESTED_REAL,
    NESTED_TEXT,
    NESTED_MADE_TEXT, /* not as it stands in the input: in `texts` */
    NESTED_LIST,
    NESTED_MAP,
    NESTED_SAME, /* as an earlier row */
};

struct nested_row {
    uint8_t kind;  /* enum nested_kind */
    bool flat;     /* a list without lists and maps in it: its members are the rows behind it */
    uint32_t size; /* bytes of text; members of a list or map, each key and value of that one */
    union {
        int64_t integer; /* or a boolean */
        double real;
        const char *text;
        size_t made;  /* where in `texts` */
        uint32_t end; /* of a list or map: the row behind its last; while it is open, the list
                         or map that it is in */
        uint32_t row; /* which is the same */
    };
};

struct nested {
    struct nested_row *rows;
    uint32_t count, capacity;
    uint32_t open; /* the innermost list or map that is not whole yet; 0: none */
    struct buffer texts;
};

void nested_free(struct nested *in);

/* For decoders: adds a row, and one to the list or map that is open. Its number; 0: no memory,
 * or more rows than there are numbers. */
uint32_t nested_add(struct nested *in, struct nested_row value);
/* The same of a list or map, and opens it; what is added is in it until it is closed. */
uint32_t nested_open(struct nested *in, enum nested_kind kind);
void nested_close(struct nested *in);

/* JSON, one value and nothing behind it. 0 or a negative errno with its line. */
int nested_read_json(struct nested *in, struct slice json, char error[FORMAT_ERROR_SIZE]);

#define NESTED_ROOT 1u /* the whole */

enum nested_kind nested_kind(const struct nested *in, uint32_t row);
/* Members of a list, pairs of a map; 0 of anything else. */
uint32_t nested_count(const struct nested *in, uint32_t row);
/* The members one by one: the first, the one behind `member`; 0 past the last. */
uint32_t nested_first(const struct nested *in, uint32_t row);
uint32_t nested_next(const struct nested *in, uint32_t row, uint32_t member);
/* Of a list without lists and maps in it: any member, at once; else, and past the last, 0. */
uint32_t nested_at(const struct nested *in, uint32_t row, uint64_t index);
/* What a map has under a key; 0: nothing. */
uint32_t nested_get(const struct nested *in, uint32_t row, const char *key);
/* The text; that of anything else is NULL, of length 0. */
struct slice nested_text(const struct nested *in, uint32_t row);
/* A number that is whole, or as near as can be; false: it is none. */
bool nested_integer(const struct nested *in, uint32_t row, int64_t *number);
/* A number, or `otherwise`. Never NaN. */
double nested_real(const struct nested *in, uint32_t row, double otherwise);

/* A number times `scale`, rounded, within int64_t: 1.5 milliseconds in nanoseconds. */
int64_t nested_scaled(double number, double scale);

#endif
