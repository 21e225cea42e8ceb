/*
 * A part of somebody else's text: not ended by NUL, not owned. What readers of text take apart
 * without a copy.
 */
#ifndef CPROF_FORMAT_SLICE_H
#define CPROF_FORMAT_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const char *text; /* NULL: there is none, not even an empty one */
    size_t length;
};

static inline struct slice slice_of(const char *text)
{
    return (struct slice){text, strlen(text)};
}

/* Without its first `count` bytes, which it has. */
static inline struct slice slice_from(struct slice slice, size_t count)
{
    return (struct slice){slice.text + count, slice.length - count};
}

static inline bool slice_is(struct slice slice, const char *text)
{
    return slice.length == strlen(text) && memcmp(slice.text, text, slice.length) == 0;
}

static inline bool slice_starts(struct slice slice, const char *beginning)
{
    size_t length = strlen(beginning);
    return slice.length >= length && memcmp(slice.text, beginning, length) == 0;
}

static inline bool slice_ends(struct slice slice, const char *ending)
{
    size_t length = strlen(ending);
    return slice.length >= length &&
           memcmp(slice.text + slice.length - length, ending, length) == 0;
}

static inline bool slice_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Without the blanks around it. */
static inline struct slice slice_trim(struct slice slice)
{
    while (slice.length > 0 && slice_is_blank(slice.text[slice.length - 1]))
        slice.length--;
    while (slice.length > 0 && slice_is_blank(*slice.text))
        slice = slice_from(slice, 1);
    return slice;
}

/* Cuts the next line, without its end, off a text; false: nothing is left. */
static inline bool slice_line(struct slice *text, struct slice *line)
{
    if (text->length == 0)
        return false;
    const char *end = memchr(text->text, '\n', text->length);
    line->text = text->text;
    line->length = end != NULL ? (size_t)(end - text->text) : text->length;
    *text = slice_from(*text, line->length + (end != NULL ? 1 : 0));
    return true;
}

/* Cuts the next word off, and the blanks before it; false: there is none. */
static inline bool slice_word(struct slice *line, struct slice *word)
{
    while (line->length > 0 && slice_is_blank(*line->text))
        *line = slice_from(*line, 1);
    size_t length = 0;
    while (length < line->length && !slice_is_blank(line->text[length]))
        length++;
    *word = (struct slice){line->text, length};
    *line = slice_from(*line, length);
    return length > 0;
}

/* The digits that it begins with, up to the first that is none, as a number of that base; how
 * many they are. 0 as well where the number needs more than 64 bits. */
static inline size_t slice_digits(struct slice slice, unsigned base, uint64_t *number)
{
    *number = 0;
    for (size_t i = 0;; i++) {
        char c = i < slice.length ? slice.text[i] : '\0', lower = (char)(c | 0x20);
        unsigned digit = c >= '0' && c <= '9'           ? (unsigned)(c - '0')
                         : lower >= 'a' && lower <= 'f' ? (unsigned)(lower - 'a' + 10)
                                                        : 16;
        if (digit >= base)
            return i;
        if (__builtin_mul_overflow(*number, base, number) ||
            __builtin_add_overflow(*number, digit, number))
            return 0;
    }
}

#endif
