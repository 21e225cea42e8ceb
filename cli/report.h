/*
 * A profile as rows: how much of a value each function, line, file, module, frame type,
 * thread, stack, trace or span has itself, and with all it called. Recursion counts once.
 * Borrows the profile.
 */
#ifndef CPROF_CLI_REPORT_H
#define CPROF_CLI_REPORT_H

#include <stdbool.h>

#include "format/frames.h"
#include "format/summary.h"
#include "profile/profile.h"
#include "stacks.h"

enum report_by {
    REPORT_BY_FUNCTION,
    REPORT_BY_LINE,
    REPORT_BY_FILE,
    REPORT_BY_MODULE,
    REPORT_BY_TYPE,
    /* From here on rows are of whole samples: self and total are the same. */
    REPORT_BY_THREAD,
    REPORT_BY_STACK, /* of functions, whatever their lines */
    REPORT_BY_TRACE,
    REPORT_BY_SPAN,
};

/* The words for them. -EINVAL for any other. */
int report_parse_by(const char *word, enum report_by *by);

struct report_row {
    const char *name; /* never NULL, may be "" */
    size_t name_length;
    const char *file; /* where it is; of a span its trace; "" = not told */
    int64_t line;     /* 0 = not told */
    const char *type; /* as profile.frame.type has it; "" where it makes no sense */
    int64_t self, total;
};

struct report {
    const struct profile *profile;
    struct profile_summary summary;
    struct frame_table frames;
    enum report_by by;
    int64_t total; /* of all samples */
    struct report_row *rows;
    size_t row_count;
    struct stacks stacks; /* with REPORT_BY_STACK; rows point to its texts */
    char *texts;          /* ids of spans and traces, that rows point to */
};

const char *report_by_word(enum report_by by);

/* Rows sorted by self, or by total with `cumulative`; equal ones by name. 0 or -errno; on
 * failure there is nothing to free. */
int report_make(struct report *report, const struct profile *profile, enum report_by by,
                bool cumulative);
/* The rows of one value of a pair (profile/pair.h), empty ones too and in an order that depends
 * on the profile and `by` alone: row i of every value is the same function. Of the summary only
 * the column is filled in. */
int report_count(struct report *report, const struct profile *profile, enum report_by by,
                 size_t column);
void report_free(struct report *report);

#endif
