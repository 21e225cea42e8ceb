/*
 * The interpreter's own frames, counted to the method that called them.
 *
 * What an interpreter does for a method (allocating, hashing, calling) runs in its library or
 * executable, in functions whose names tell users little and are often missing. Tables and the
 * page leave those frames out at first. Such a helper is a native frame
 *   - of a module that is the interpreter itself, by its name: libruby…, ruby3.1, libpython…,
 *     python3.11, libnode…, node and so on. Extension modules, libraries that the interpreter
 *     calls and the kernel are not;
 *   - without a name in the program's own language, as "list.sort" or "zlib.compress" is one;
 *   - with an interpreted frame among its callers: there it counts. Without one it stays.
 * Nothing else is judged. zlib, which lies within node's executable, is its helper.
 *
 * Pure functions.
 */
#ifndef CPROF_PROFILE_FOLD_H
#define CPROF_PROFILE_FOLD_H

#include <stdbool.h>

#include "profile/profile.h"

/* Is it a frame of a program's own language, that helpers count to? */
bool fold_is_interpreted(enum cprof_frame_type type);

/* Is a frame of that type, module and name a helper where an interpreted frame called it? */
bool fold_is_helper(enum cprof_frame_type type, const char *module, const char *name);

/* Is there any frame that may be a helper? If not, folding makes a copy and nothing else. */
bool profile_has_helpers(const struct profile *source);

/* A new profile in which helpers' frames are gone from the stacks and nothing else: what they
 * call stands under the frame that called them. NULL: out of memory. */
struct profile *profile_fold(const struct profile *source);

#endif
