/*
 * Labels: which set of key-value pairs applies to what a fiber runs.
 *
 * Sets are interned and numbered from 1; there are at most LABEL_SETS_MAX, after which new
 * ones are 0, no labels. A fiber keeps the number of its set in a fiber-local variable; the
 * native thread's slot, which handlers read, follows it when fibers switch.
 */
#ifndef CPROF_RUBY_LABELS_H
#define CPROF_RUBY_LABELS_H

#include <stdint.h>

#include <ruby.h>

#define LABEL_SETS_MAX 8192

/* [handler] The calling thread's set. */
extern __thread uint32_t labels_current __attribute__((tls_model("initial-exec")));

/* Under the GVL. `pairs` is an Array of Arrays of two Strings. */
uint32_t labels_intern(VALUE pairs);
void labels_set(uint32_t set); /* of the running fiber */

/* [collector] The runtime's entry. */
void labels_of(uint32_t set, void (*each)(void *closure, const char *key, const char *value),
               void *closure);

void labels_fork_prepare(void);
void labels_fork_done(void);

#endif
