/*
 * Python's marshal, versions 2 to 4 (CPython, Python/marshal.c): decoded into nested values.
 * None, True, False, numbers, text, tuples, lists and dicts; what else may stand in it (code,
 * sets, complex numbers) is refused. Tuples are lists here. Untrusted input; no state.
 */
#ifndef CPROF_FORMAT_PYTHON_MARSHAL_H
#define CPROF_FORMAT_PYTHON_MARSHAL_H

#include "format/nested.h"

#define PYTHON_MARSHAL_DEEPEST 64

/* One value; what stands behind it is left. 0 or a negative errno with its line. */
int python_marshal_read(struct nested *in, struct slice bytes, char error[FORMAT_ERROR_SIZE]);

#endif
