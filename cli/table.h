/* A report as text: the legend, the rows that fit, and what was left out. */
#ifndef CPROF_CLI_TABLE_H
#define CPROF_CLI_TABLE_H

#include <stddef.h>
#include <stdio.h>

#include "record.h"
#include "report.h"
#include "terminal.h"

/* The line above a table: whose profile this is and how much is in it. Needs no rows. */
void table_print_legend(const struct report *report, const struct terminal *terminal);

/* Which end of its names is worth less: of a stack the root. */
enum terminal_cut table_cut(enum report_by by);

/* Prints at most `limit` rows, as wide as the terminal when `file` is one. */
void table_print(const struct report *report, size_t limit, FILE *file);

/* One row of a report by frames, as wide as it needs, below a heading. */
void table_print_row(const struct report *report, const struct report_row *row,
                     const struct terminal *terminal);

/* For programs: what stands once, a row's name and place, and that with its amounts. */
void table_write_head(struct record *record, const struct report *report);
void table_write_place(struct record *record, const struct report_row *row);
void table_write_row(struct record *record, const struct report_row *row);

/* Puts what was written on standard output, and frees it. 0, or what went wrong with it. */
int table_flush(struct buffer *out);

/* For people, or for programs. */
enum table_form { TABLE_TEXT, TABLE_JSON, TABLE_CSV };

/* What is wanted of a table. */
struct table_view {
    struct report_rows what;
    const char *title; /* as in a report */
    bool cumulative;   /* sorted by total */
    bool all_native;   /* the interpreter's own frames too */
    enum table_form form;
    size_t rows;  /* at most */
    int64_t idle; /* of the value, in waits that were left out as idle */
};

/* A whole report on standard output, in that form. Returns the exit code.
 */
int table_show(const struct profile *profile, const struct table_view *view);

#endif
