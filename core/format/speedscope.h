/* What the two halves of speedscope's format agree on; see speedscope.c. */
#ifndef CPROF_FORMAT_SPEEDSCOPE_H
#define CPROF_FORMAT_SPEEDSCOPE_H

#include "format/format.h"

#define SPEEDSCOPE_EXPORTER "cprof " /* what our files say before the version */

/* struct format's read. */
int speedscope_read(const unsigned char *data, size_t size, struct profile *sum,
                    char error[FORMAT_ERROR_SIZE]);

#endif
