/*
 * Ruby's Marshal, version 4.8 (ruby/doc/marshal.rdoc): decoded into nested values. nil, true,
 * false, numbers, strings, symbols, arrays and hashes; objects of classes are refused, and
 * nothing of it is ever run. Instance variables, which strings have for their encoding, are
 * left out. Untrusted input; no state.
 */
#ifndef CPROF_FORMAT_RUBY_MARSHAL_H
#define CPROF_FORMAT_RUBY_MARSHAL_H

#include "format/nested.h"

#define RUBY_MARSHAL_DEEPEST 64
#define RUBY_MARSHAL_VERSION "\x04\x08" /* what it begins with */

/* One value; what stands behind it is left. 0 or a negative errno with its line. */
int ruby_marshal_read(struct nested *in, struct slice bytes, char error[FORMAT_ERROR_SIZE]);

#endif
