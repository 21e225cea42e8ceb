/*
 * Code to be interrupted in: a bit of everything that makes stacks differ. Each function burns
 * a few microseconds and returns something that depends on it.
 */
#ifndef CPROF_TESTS_UNWIND_WORK_CODE_H
#define CPROF_TESTS_UNWIND_WORK_CODE_H

#include <stddef.h>

typedef unsigned (*work_function)(unsigned seed);

/* work_code.c is compiled several times, each with its own flags and its own list. */
extern const work_function work_O0[];
extern const work_function work_O2[];
extern const work_function work_O3_fp[];
extern const work_function work_realigned[];

/* Functions that are worth to be run instruction by instruction, once. */
extern const work_function work_once[];

#endif
