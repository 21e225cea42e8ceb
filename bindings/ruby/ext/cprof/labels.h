/*
 * Labels, as Ruby holds them: a Cprof::Native::Labels is a set of the core's table
 * (cprof/labels.h) together with the Hash it was made of and the labels around it. The
 * innermost one of a fiber is in a fiber-local variable, from where context.h takes it to
 * handlers.
 *
 * It holds its set until the last block that it labels has ended, or until it dies, where a
 * fiber is given up in the midst of one. Services label the same way again and again, so the
 * last ones made are remembered with what they were asked for, LABELS_REMEMBERED at most, and
 * hold their sets until others take their places.
 */
#ifndef CPROF_RUBY_LABELS_H
#define CPROF_RUBY_LABELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ruby.h>

enum { LABELS_REMEMBERED = 64 };

struct labels {
    uint32_t set;        /* 0 = none, or released */
    uint32_t users;      /* blocks that run with it */
    bool remembered;     /* and so holds its set without them */
    size_t size;         /* bytes of the attributes */
    uint8_t *attributes; /* as cprof_context_encode() made them, or NULL */
    VALUE hash;
    VALUE outer; /* the labels around, or nil */
};

/* Once, under the GVL. */
void labels_init(VALUE native);

/* Under the GVL: those of the running fiber. Lives as long as they are its. */
const struct labels *labels_of_fiber(void);

#endif
