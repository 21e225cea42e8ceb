/*
 * Who calls a function and what it calls: of each, the value of the samples in which they stand
 * next to each other. A sample counts once for each neighbour, however often; calls of a
 * function to itself are not listed. Borrows the report.
 */
#ifndef CPROF_CLI_NEIGHBOURS_H
#define CPROF_CLI_NEIGHBOURS_H

#include "report.h"

struct neighbour {
    const struct report_row *row;
    int64_t value;
};

enum neighbour_side { NEIGHBOUR_CALLERS, NEIGHBOUR_CALLEES, NEIGHBOUR_SIDES };

struct neighbours {
    struct neighbour *list[NEIGHBOUR_SIDES]; /* by value, the largest first */
    size_t count[NEIGHBOUR_SIDES];
};

/* Of a row of a report by function. 0 or -ENOMEM. */
int neighbours_make(struct neighbours *neighbours, const struct report *report,
                    const struct report_row *row);
void neighbours_free(struct neighbours *neighbours);

#endif
