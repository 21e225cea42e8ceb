/*
 * Which file a process writes when several are told to write the same.
 *
 * CPROF_OUTPUT is inherited: a program started by a profiled one would write over its profile.
 * So a pattern without %p belongs to the first process that claims it, for as long as that
 * lives or until it claims another; every other one writes beside it, with its pid before
 * the ending. A claim is a name that the kernel keeps (an abstract socket address made from the
 * folder's identity and the file's name): nothing is left on disk, and it goes with its owner
 * however that ends. Where such names can't be had (a sandbox) every process counts as the
 * first.
 *
 * Not thread-safe: called with the engine's lifecycle lock held, or in the child of a fork.
 */
#ifndef CPROF_ENGINE_OUTPUT_H
#define CPROF_ENGINE_OUTPUT_H

/* The pattern that this process is to write: the one given (absolute) or, when another process
 * has claimed that, the one with our pid. NULL: out of memory. */
char *output_claim(const char *pattern);

/* The pattern for process `pid` when another one writes the one given: the same if it has %p,
 * else with the pid before its ending. NULL: out of memory. */
char *output_beside(const char *pattern, long pid);

/* [child] The parent's claim is the parent's. */
void output_fork_child(void);

#endif
