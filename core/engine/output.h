/*
 * Which file a process writes when several are told to write the same.
 *
 * CPROF_OUTPUT is inherited: a program started by a profiled one would write over its profile.
 * So a pattern without %p belongs to the first process that claims it, for as long as that
 * lives and keeps the claim; every other one writes beside it, with its pid before the ending.
 * A claim is a name that the kernel keeps (an abstract socket address made from the folder's
 * identity and the file's name): nothing is left on disk, and it goes with its owner however
 * that ends. Where such names can't be had (a sandbox) every process counts as the first.
 *
 * Not thread-safe: called with the engine's lifecycle lock held, or in the child of a fork.
 */
#ifndef CPROF_ENGINE_OUTPUT_H
#define CPROF_ENGINE_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* All zero: none. */
struct output_claim {
    bool held;
    int socket;
    ino_t inode; /* the program may have closed our descriptor, and have one of its own there */
    uint64_t name;
};

/* The pattern that this process is to write: the one given (absolute) or, when it is claimed
 * already, by another process or otherwise here, the one with our pid. A claim that is held
 * makes room for the new one. NULL: out of memory. */
char *output_claim(struct output_claim *claim, const char *pattern);

/* Also in the child of a fork, whose parent keeps it. */
void output_release(struct output_claim *claim);

/* The pattern for process `pid` when another one writes the one given: the same if it has %p,
 * else with the pid before its ending. NULL: out of memory. */
char *output_beside(const char *pattern, long pid);

#endif
