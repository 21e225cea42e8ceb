/* A report as text: the legend, the rows that fit, and what was left out. */
#ifndef CPROF_CLI_TABLE_H
#define CPROF_CLI_TABLE_H

#include <stddef.h>
#include <stdio.h>

#include "report.h"
#include "terminal.h"

/* The line above a table: whose profile this is and how much is in it. Needs no rows. */
void table_print_legend(const struct report *report, const struct terminal *terminal);

/* Which end of its names is worth less: of a stack the root. */
enum terminal_cut table_cut(enum report_by by);

/* Prints at most `limit` rows, as wide as the terminal when `file` is one. */
void table_print(const struct report *report, size_t limit, FILE *file);

/* A whole report on standard output, as a table or as one JSON object. Returns the exit code.
 */
int table_show(const struct profile *profile, enum report_by by, bool cumulative, size_t limit,
               bool json);

#endif
