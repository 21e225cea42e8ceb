/*
 * Where YJIT puts its code. It reserves one stretch of addresses for the life of the process
 * and names it for /proc/self/maps, where the kernel keeps names; elsewhere the stretch
 * is not found and stacks end at JIT code.
 */
#ifndef CPROF_RUBY_JIT_H
#define CPROF_RUBY_JIT_H

struct walk_range;

void jit_find(struct walk_range *range); /* empty when there is no JIT */

#endif
