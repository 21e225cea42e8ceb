/*
 * A profile as rows: how much of a value each function, line, file, module, frame type,
 * thread, value of a label, stack, trace or span has itself, and with all it called. Recursion
 * counts once. Borrows the profile.
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
    REPORT_BY_LABEL,
    REPORT_BY_STACK, /* of functions, whatever their lines */
    REPORT_BY_TRACE,
    REPORT_BY_SPAN,
};

/* What rows are of. */
struct report_rows {
    enum report_by by;
    const char *label; /* whose values, with REPORT_BY_LABEL; borrowed */
};

/* The words for them, "label:KEY" for a label. -EINVAL for any other. */
int report_parse_by(const char *word, struct report_rows *what);

struct report_row {
    const char *name; /* never NULL, may be "" */
    size_t name_length;
    const char *file;  /* where it is; of a span its trace; "" = not known */
    int64_t line;      /* 0 = not known */
    const char *type;  /* as profile.frame.type has it; "" where it makes no sense */
    uint32_t function; /* of rows by function and by line: frame.function */
    int64_t self, total;
};

struct report {
    const struct profile *profile;
    struct profile *folded; /* owned; NULL, or the profile that is counted */
    const char
        *title; /* of a profile that tells no service; NULL = none. The caller's to set */
    struct profile_summary summary;
    struct frame_table frames;
    struct report_rows what;
    int64_t total; /* of all samples */
    int64_t whole; /* what shares are of: the same, but for values below 0, as differences have
                      them: those count by their size */
    struct report_row *rows;
    size_t row_count;
    int64_t idle;         /* that was left out: the caller's to set */
    struct stacks stacks; /* with REPORT_BY_STACK; rows point to its texts */
    char *texts;          /* ids of spans and traces, numbers, that rows point to */
};

/* For a heading: the word, or the label's key. */
const char *report_heading(const struct report_rows *what);

/* The interpreter's own frames count to the methods that called them (profile/fold.h), but with
 * `all_native`. Rows sorted by self, or by total with `cumulative`, by their size where some
 * are below 0; equal ones by name. 0 or -errno; on failure there is nothing to free. */
int report_make(struct report *report, const struct profile *profile, struct report_rows what,
                bool cumulative, bool all_native);
/* The rows of one value of a pair (profile/pair.h), empty ones too and in an order that depends
 * on the profile and `by` alone: row i of every value is the same function. Of the summary only
 * the column is filled in. */
int report_count(struct report *report, const struct profile *profile, struct report_rows what,
                 size_t column);
void report_free(struct report *report);

#endif
