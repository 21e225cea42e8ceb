/*
 * Which native functions are Ruby's interpreter at work, and so not worth showing: the loop is
 * replaced by the Ruby frames it runs, and how it gets from a call in Ruby to the C function
 * that implements the method says nothing to anybody.
 *
 * Such functions carry well-known names, but a distribution's libruby is stripped of them.
 * roles_learn() therefore looks at the native stack of calls whose shape is known and
 * remembers where the functions in between begin.
 */
#ifndef CPROF_RUBY_ROLES_H
#define CPROF_RUBY_ROLES_H

#include <stdint.h>

#include <ruby.h>

#include <cprof/runtime.h>

/* Under the GVL, after layout_check(). `native` is the extension's module. */
void roles_learn(VALUE native);

/* [collector] The runtime's entries. */
enum cprof_role roles_of(const char *symbol, const char *module);
enum cprof_role roles_at(uintptr_t pc);
uintptr_t roles_function_at(uintptr_t pc); /* where its function begins, or 0 */

#endif
