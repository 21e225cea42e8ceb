/*
 * What changed between two profiles: rows as of a report, with what each side has of them,
 * normalised, and whether sampling alone could explain the difference.
 *
 * Normalised is per second of wall time where both profiles tell how long they are, or as a
 * share of all that each side has; what is a level, such as the memory in use, is compared as
 * it stands. z says how many standard deviations of sampling noise the change is, from the
 * numbers of observations k of a row and n of all, with transformations that make counts normal
 * of a constant variance down to a few samples (F. J. Anscombe, "The transformation of Poisson,
 * binomial and negative-binomial data", Biometrika 35, 1948).
 *
 * An observation is what one signal saw: samples by their mean weight (pair_weight()). At 1,000
 * samples a second and a kernel that ticks 250 times, four samples are one observation, and
 * taken for four they would make z twice as large as it is.
 *
 * Per second, and of levels, k are two Poisson counts (M. D. Huffman, "An improved approximate
 * two-sample Poisson test", Applied Statistics 33, 1984; Gu, Ng, Tang, Schucany, "Testing the
 * ratio of two Poisson rates", Biometrical Journal 50, 2008), with r the ratio of what the
 * sides, new to base, would have counted of the same program:
 *     z = 2 (sqrt(k' + 3/8) - sqrt(r (k + 3/8))) / sqrt(1 + r)
 * As shares, k of n are two proportions:
 *     z = (a' - a) / sqrt(1 / (4 n + 2) + 1 / (4 n' + 2)), a = asin sqrt((k + 3/8) / (n + 3/4))
 *
 * What differs from run to run for other reasons than sampling is not in these numbers.
 */
#ifndef CPROF_CLI_COMPARISON_H
#define CPROF_CLI_COMPARISON_H

#include "profile/pair.h"
#include "report.h"

/* Below it, a change counts as noise: one row of a thousand without any change gets above. */
#define COMPARISON_CONFIDENT 0.999

enum side { SIDE_BASE, SIDE_NEW, SIDES };

enum normalization {
    NORMALIZE_AUTO, /* levels not, else per second if both sides can, else time and samples by
                       total, and what is left not */
    NORMALIZE_SECOND,
    NORMALIZE_TOTAL,
    NORMALIZE_NONE, /* as the values are */
};

/* "second", "total", "none", and back; NORMALIZE_AUTO for any other word. */
const char *comparison_normalization_word(enum normalization normalization);
enum normalization comparison_parse_normalization(const char *word);

struct comparison_row {
    const struct report_row *what; /* its name and place; not its amounts */
    int64_t value[SIDES];          /* as in the files */
    int64_t samples[SIDES];
    double amount[SIDES]; /* normalised */
    double delta;         /* of the amounts */
    double share;         /* delta as a part of all that BASE has */
    double z, confidence; /* that there is a change: 0 … 1 */
    bool stands_out;      /* of sampling noise */
};

struct comparison {
    struct profile *pair;             /* owned */
    struct profile *folded;           /* owned; what is counted of it, or NULL: all */
    struct report report;             /* of PAIR_NEW: what the rows are */
    enum normalization normalization; /* never NORMALIZE_AUTO */
    bool cumulative;                  /* values are totals, not self */
    double scale[SIDES];              /* value → amount */
    double weight[SIDES];             /* samples of one observation */
    struct comparison_row whole;      /* everything; of `what` nothing */
    struct comparison_row *rows;      /* sorted by delta weighted with its confidence */
    size_t row_count;
};

/* What is wanted of a comparison. */
struct comparison_view {
    enum normalization normalize;
    struct report_rows what;
    bool cumulative, all_native; /* as of a report */
};

/* One side as it was read. */
struct comparison_side {
    struct profile *profile;
    struct profile_summary summary;
};

/* 0; -ENOMEM; -ENODATA: a side holds nothing, or a side's duration is unknown and `normalize`
 * needs it. On failure there is nothing to free. */
int comparison_make(struct comparison *comparison, const struct comparison_side sides[SIDES],
                    const struct comparison_view *view);
void comparison_free(struct comparison *comparison);

#endif
