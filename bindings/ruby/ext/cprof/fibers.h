/*
 * Which fibers there are (cprof/asleep.h): how many, and for a dump the stacks of those that
 * are suspended. Ruby has no list of them but the heap of all objects, which is gone through
 * once, at the start. From then on each is noted where it is allocated, by the allocator of the
 * class, and struck off where it is freed: it gets a type of ours that is derived from Ruby's
 * and differs only in how it is freed and moved. A fiber that has ended counts until the
 * garbage collector has taken it. Those that Ruby makes for itself (Enumerator#next) are left
 * out.
 *
 * Their frames are read without the GVL, through copies: the loop may run them meanwhile.
 *
 * Up to Ruby 3.4, whose objects are laid out so; later they are not known.
 */
#ifndef CPROF_RUBY_FIBERS_H
#define CPROF_RUBY_FIBERS_H

#include <cprof/asleep.h>

/* Under the GVL: from now on. */
void fibers_follow(void);

/* Around fork(2): nobody holds the list's lock meanwhile. */
void fibers_fork_lock(void);
void fibers_fork_unlock(void);

/* [collector] The entries of struct cprof_asleep. */
void fibers_count(struct cprof_population *population);
void fibers_each(bool (*each)(void *closure, const struct cprof_task *task), void *closure);

#endif
