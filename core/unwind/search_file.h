/*
 * Leaves a file's code that has no unwind information (nearly all of musl's, linkers' stubs,
 * the vDSO's leaves): by its frame pointer, by the link register, or for a caller that is found
 * on the stack. Inside the walker only. Signal-safe.
 */
#ifndef CPROF_UNWIND_SEARCH_FILE_H
#define CPROF_UNWIND_SEARCH_FILE_H

#include "unwind/walk_inside.h"

/* Code of a file without unwind information calls, by a pointer, what a program or a thread
 * begins with: does the stack begin right above it? */
bool search_began_here(struct walk *walk);

/* A file's code without unwind information may keep a frame pointer. Only the caller of musl's
 * (struct module) is searched for: a search may take a millisecond, and elsewhere, as in V8's
 * builtins, each frame of each stack would be searched, and mostly in vain. */
bool search_untabled(struct walk *walk, const struct module *module);

/* Where calls leave the return address in a register, linkers' stubs and functions that call
 * nothing (as in the vDSO) may have neither unwind information nor a frame: the interrupted one
 * is left by that register if it returns to code that has, behind a call, and the frames from
 * there on confirm it. */
bool search_by_link(struct walk *walk);

#endif
