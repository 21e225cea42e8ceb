/*
 * Which functions somebody means by a name: those of just that name or, where there are none,
 * those in whose name it is found as a regular expression (profile/pattern.h).
 */
#ifndef CPROF_CLI_CHOICE_H
#define CPROF_CLI_CHOICE_H

#include "report.h"

struct choice {
    const struct report_row **rows; /* of the report, in its order */
    size_t count;
};

/* Of a report by function. 0; -ENOENT: there is none; -EINVAL: nor is that an expression;
 * -ENOMEM. On failure there is nothing to free. */
int choice_make(struct choice *choice, const struct report *report, const char *name);
/* Says why it failed; returns the exit code. */
int choice_fail(int status, const char *name);
void choice_free(struct choice *choice);

#endif
