/* A report as text: the legend, the rows that fit, and what was left out. */
#ifndef CPROF_CLI_TABLE_H
#define CPROF_CLI_TABLE_H

#include <stddef.h>
#include <stdio.h>

#include "report.h"

/* Prints at most `limit` rows, as wide as the terminal when `file` is one. */
void table_print(const struct report *report, size_t limit, FILE *file);

/* The same as JSON, in one object on standard output. 0 or -ENOMEM. */
int table_print_json(const struct report *report, size_t limit);

#endif
