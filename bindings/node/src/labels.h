/*
 * Sets of labels by number: JavaScript hands one in and makes its number the current one of
 * its thread; the handler copies the number; the collector asks for the pairs. A set lives as
 * long as the process; there are at most LABEL_SETS_MAX, further ones are number 0: no labels.
 */
#ifndef CPROF_NODE_LABELS_H
#define CPROF_NODE_LABELS_H

#include <stddef.h>
#include <stdint.h>

enum { LABEL_SETS_MAX = 4096 };

/* `text` is key, NUL, value, NUL, and so on. Equal texts get equal numbers. */
uint32_t labels_intern(const char *text, size_t size);

/* [collector] runtime.labels */
void labels_of(uint32_t set, void (*each)(void *closure, const char *key, const char *value),
               void *closure);

#endif
