/*
 * Adding up what a store has of a span of time, straight from its blocks (format/block.h): no
 * profile is made of an interval, but of the levels that it has.
 */
#ifndef CPROF_CLI_GATHER_H
#define CPROF_CLI_GATHER_H

#include "history.h"

/* What history has of its span, both ends of which are set: *sum is the caller's to free, NULL
 * where there is nothing, and *cover what it covers. GO_ON, or EXIT_FAILED after having said
 * why. */
int gather(const struct history *history, enum load_keep keep, struct profile **sum,
           struct span *cover);

#endif
