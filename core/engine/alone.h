/*
 * A process ends with its last thread, and cprof's own do not count: a program whose main
 * thread has called pthread_exit(), or whose only thread forked from another one and returns,
 * is over when none but ours are left. The C library would not see it.
 *
 * Called by the collector at each of its turns: a look at the main thread's CPU clock (0.3 µs),
 * at the thread itself only when that has come to rest, and a list of all when it has ended.
 */
#ifndef CPROF_ENGINE_ALONE_H
#define CPROF_ENGINE_ALONE_H

#include <stdbool.h>

/* True when the main thread has ended and all others are cprof's. It stays so: none of them
 * starts one of the program's. */
bool alone(void);

#endif
