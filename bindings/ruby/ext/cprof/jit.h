/*
 * Where YJIT puts its code: one stretch of addresses, reserved when the JIT is switched on, at
 * the start or at any later time, for the life of the process. Ruby 3.2 and later name it for
 * /proc/self/maps; where there is no name it is told by its size.
 */
#ifndef CPROF_RUBY_JIT_H
#define CPROF_RUBY_JIT_H

/* Looks for the stretch, unless it is known; sets walk_jit. No two calls at a time. */
void jit_find(void);

#endif
