/*
 * Sets of labels by number, for bindings: what context() of struct cprof_runtime reports is a
 * number, so that a handler copies four bytes; the texts wait here for the collector.
 *
 * Whoever makes a set holds it, and lets go of it once: where the labelled block ends, or
 * where the interpreter's object for it dies. Sets with the same texts are one, with one
 * number, held as often as it was made. A set that nobody holds keeps its place until the
 * samples that may name it have been drained; its number is not given out again for 2^32
 * further ones.
 *
 * Everything is bounded: CPROF_LABEL_SETS_MAX sets at a time, of which each has at most its
 * first CPROF_LABELS_MAX pairs, with the first CPROF_LABEL_BYTES_MAX bytes of each text. When
 * there is no place, a set has the number 0, and its samples go without labels.
 *
 * One lock guards the table; it is held for moments. Never in a signal handler.
 */
#ifndef CPROF_LABELS_H
#define CPROF_LABELS_H

#include <stddef.h>
#include <stdint.h>

#include "cprof/cprof.h"

enum { CPROF_LABEL_SETS_MAX = 4096, CPROF_LABELS_MAX = 64, CPROF_LABEL_BYTES_MAX = 255 };

/* Any thread. The texts are UTF-8, and copied; long ones are cut before the character that has
 * no room. Returns the set's number, or 0 for none. */
uint32_t cprof_labels_hold(const struct cprof_pair *labels, size_t count);
void cprof_labels_release(uint32_t set); /* 0 is allowed */

/* [collector] The labels() entry of struct cprof_runtime, and its part of drained(). */
void cprof_labels_of(uint32_t set,
                     void (*each)(void *closure, const char *key, const char *value),
                     void *closure);
void cprof_labels_drained(void);

/* [fork] Its part of fork_lock() and fork_unlock(). */
void cprof_labels_lock(void);
void cprof_labels_unlock(void);

#endif
