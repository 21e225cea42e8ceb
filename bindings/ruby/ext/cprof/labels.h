/*
 * Labels, as Ruby holds them: a Cprof::Native::Labels is a set of the core's table
 * (cprof/labels.h) together with the Hash it was made of. The innermost one of a fiber is in a
 * fiber-local variable, from where context.h takes it to handlers.
 *
 * It holds its set until it is released, at the end of its block, or dies, where a fiber is
 * given up in the midst of one.
 */
#ifndef CPROF_RUBY_LABELS_H
#define CPROF_RUBY_LABELS_H

#include <stddef.h>
#include <stdint.h>

#include <ruby.h>

struct labels {
    uint32_t set;        /* 0 = none, or released */
    size_t size;         /* bytes of the attributes */
    uint8_t *attributes; /* as cprof_context_encode() made them, or NULL */
    VALUE hash;
};

/* Once, under the GVL. */
void labels_init(VALUE native);

/* Under the GVL: those of the running fiber. Lives as long as they are its. */
const struct labels *labels_of_fiber(void);

#endif
