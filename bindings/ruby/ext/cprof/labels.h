/*
 * Labels: sets of key-value pairs by number.
 *
 * Sets are interned and numbered from 1; there are at most LABEL_SETS_MAX, after which new
 * ones are 0, no labels. A fiber keeps its set in a fiber-local variable, from where context.h
 * takes its number to handlers.
 */
#ifndef CPROF_RUBY_LABELS_H
#define CPROF_RUBY_LABELS_H

#include <stdint.h>

#include <ruby.h>

#define LABEL_SETS_MAX 8192

/* Under the GVL. `pairs` is an Array of Arrays of two Strings. */
uint32_t labels_intern(VALUE pairs);
uint32_t labels_of_fiber(void); /* the running one's set */

/* [collector] The runtime's entry. */
void labels_of(uint32_t set, void (*each)(void *closure, const char *key, const char *value),
               void *closure);

void labels_fork_prepare(void);
void labels_fork_done(void);

#endif
