/* Text from paths and symbols is bytes; formats want UTF-8. */
#ifndef CPROF_FORMAT_UTF8_H
#define CPROF_FORMAT_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* The bytes of the character at `text`, 1 to 4, or 0: not UTF-8 (overlong forms, surrogates
 * and numbers past U+10FFFF are not). `length` is at least 1. */
size_t utf8_length(const char *text, size_t length);

bool utf8_valid(const char *text, size_t length);

/* A malloc'ed copy with U+FFFD for each byte that is not UTF-8; NULL: out of memory. */
char *utf8_mend(const char *text, size_t length, size_t *mended_length);

#endif
