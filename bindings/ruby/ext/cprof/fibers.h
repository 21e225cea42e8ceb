/*
 * How many fibers there are (cprof/asleep.h), of those made by Fiber.new since cprof was first
 * started. Ruby has no list of them but the heap of all objects. So each is counted where it is
 * allocated, by the allocator of the class, and where it is freed: it gets a type of ours that
 * is derived from Ruby's and differs only in how it is freed. A fiber that has ended counts
 * until the garbage collector has taken it.
 *
 * Up to Ruby 3.4, whose objects are laid out so; later they are not counted.
 */
#ifndef CPROF_RUBY_FIBERS_H
#define CPROF_RUBY_FIBERS_H

#include <cprof/asleep.h>

/* Under the GVL: from now on. */
void fibers_follow(void);

/* [collector] The entry of struct cprof_asleep. */
void fibers_count(struct cprof_population *population);

#endif
