/*
 * Forks under AddressSanitizer, whose allocator does not survive one amid an allocation of
 * another thread, as the C library's does: its lock stays held in the child, for ever. A thread
 * allocates there even as it begins. So a fork waits until our threads sleep, all at once.
 */
#ifndef CPROF_TESTS_REST_H
#define CPROF_TESTS_REST_H

/* From now on, at each fork, after the engine's own handlers. Before cprof's first start. 0, or
 * an errno value. Does nothing in other builds. */
int rest_at_forks(void);

#endif
