/*
 * The lines of one function and what each has of a value: those that samples stand on, with a
 * few around them and the one on which the function begins. Borrows the reports.
 */
#ifndef CPROF_CLI_LISTING_H
#define CPROF_CLI_LISTING_H

#include "report.h"

#define LISTING_AROUND 3 /* lines before and after one that has something */

struct listing_line {
    int64_t line; /* 0: nobody knows which */
    int64_t self, total;
};

struct listing {
    const struct report_row *row; /* the function */
    struct listing_line *lines;   /* that have something, by number */
    size_t count;
};

/* Of a row of a report by function; `lines` is the same profile by line. 0 or -ENOMEM. */
int listing_make(struct listing *listing, const struct report_row *row,
                 const struct report *lines);
void listing_free(struct listing *listing);

/* Visits what is to be shown, in order; `last` is the file's last line. Of lines that have
 * nothing, only the number is set; `gap` says that some before it are left out. */
void listing_visit(const struct listing *listing, int64_t last,
                   void (*visit)(void *closure, const struct listing_line *line, bool gap),
                   void *closure);

#endif
