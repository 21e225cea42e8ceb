/*
 * How Ruby code is called in a profile: `Foo#bar`, `Foo.bar`, `block in Foo#bar`, `<main>`,
 * `<class:Foo>`. Nothing in a name may differ from process to process, or equal code would not
 * add up: addresses of anonymous classes and the numbers of compiled templates are left out.
 */
#ifndef CPROF_RUBY_LABEL_H
#define CPROF_RUBY_LABEL_H

#include <ruby.h>

/* Under the GVL; allocates, may raise. `code` is an iseq or the method entry of a C function;
 * `method` the method entry that an iseq runs under, or 0. Returns a string to be freed, or
 * NULL. */
char *label_of(VALUE code, VALUE method);

#endif
