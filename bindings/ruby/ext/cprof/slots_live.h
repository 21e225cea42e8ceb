/*
 * Which of the objects that were sampled (slots.h) still live. An object moves, so the core
 * knows it by a number of its own; the list here says which object that is.
 *
 * At the end of each marking Ruby's collector is asked whether it has marked them: those that
 * it has not are gone. After a compaction each is looked up where it lies now. A collection of
 * which nobody told us (another Ractor began it; Ruby lost the hook, bug #19112) may have freed
 * any: then all are let go, and none of them is looked at.
 *
 * From Ruby 3.3 on: before that the mere hook of a marking's end makes each new object dearer.
 * Bounded: those for which there is no room count, and are not followed. In Ruby's collector
 * nothing is allocated.
 */
#ifndef CPROF_RUBY_SLOTS_LIVE_H
#define CPROF_RUBY_SLOTS_LIVE_H

#include <stdbool.h>

#include <ruby.h>
#include <ruby/version.h>

enum { SLOTS_FOLLOWED = RUBY_API_VERSION_CODE >= 30300 };

/* Once, under the GVL. False: this Ruby does not tell what it has marked. */
bool slots_live_init(void);

/* Under the GVL. Objects may be sampled from now on: the collector's end is told of. */
void slots_live_begin(void);

/* Under the GVL: none are sampled any more, and those that were are forgotten. */
void slots_live_end(void);

/* [hook] The number to take the next object with; or that it can't be followed. */
const void *slots_live_number(void);

/* [hook] The object that it was given to is listed. */
void slots_live_add(VALUE object);

#endif
