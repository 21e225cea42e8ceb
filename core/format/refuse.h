/* How readers say no: a line for people and a negative errno. */
#ifndef CPROF_FORMAT_REFUSE_H
#define CPROF_FORMAT_REFUSE_H

#include "format/format.h"

/* -EBADMSG. */
int refuse(char error[FORMAT_ERROR_SIZE], const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* -ENOMEM. */
int refuse_memory(char error[FORMAT_ERROR_SIZE]);

/* 0, or why profile_merge() and profile_merge_head() gave that status. */
int refuse_merge(char error[FORMAT_ERROR_SIZE], int status);

/* Leaves the function with what `step` returned unless that is 0. */
#define TRY(step)                                                                              \
    do {                                                                                       \
        int tried = (step);                                                                    \
        if (tried != 0)                                                                        \
            return tried;                                                                      \
    } while (0)

#endif
