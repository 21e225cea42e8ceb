/* What the functions of CPython are to a reader of a profile. */
#ifndef CPROF_PYTHON_ROLES_H
#define CPROF_PYTHON_ROLES_H

#include "cprof/runtime.h"

/* [collector] The runtime.h role() entry. */
enum cprof_role roles_of(const char *symbol, const char *module);

#endif
