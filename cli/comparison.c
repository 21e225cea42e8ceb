#include "comparison.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "profile/fold.h"
#include "profile/measures.h"
#include "profile/unit.h"
#include "units.h"

static const enum pair_column value_column[SIDES] = {PAIR_BASE, PAIR_NEW};
static const enum pair_column samples_column[SIDES] = {PAIR_BASE_SAMPLES, PAIR_NEW_SAMPLES};

static const char *const words[] = {
    [NORMALIZE_AUTO] = "",
    [NORMALIZE_SECOND] = "second",
    [NORMALIZE_TOTAL] = "total",
    [NORMALIZE_NONE] = "none",
};

const char *comparison_normalization_word(enum normalization normalization)
{
    return words[normalization];
}

enum normalization comparison_parse_normalization(const char *word)
{
    for (enum normalization i = NORMALIZE_SECOND; i <= NORMALIZE_NONE; i++)
        if (strcmp(words[i], word) == 0)
            return i;
    return NORMALIZE_AUTO;
}

/* Of observations. Counts below 0 are of profiles that are differences themselves. */
static double count_of(const struct comparison *c, const struct comparison_row *row,
                       enum side side)
{
    return fmax((double)row->samples[side] / c->weight[side], 0);
}

/* What each side would have of the same program: the number of observations over what is shown
 * of it. Independent of the rates at which the sides were sampled. */
static double exposure_ratio(const struct comparison *c)
{
    double expected[SIDES];
    for (enum side side = 0; side < SIDES; side++)
        expected[side] =
            (double)c->whole.samples[side] / c->weight[side] / c->whole.amount[side];
    double ratio = expected[SIDE_NEW] / expected[SIDE_BASE];
    return isfinite(ratio) && ratio > 0 ? ratio : 1;
}

static double rate_deviation(const struct comparison *c, const struct comparison_row *row)
{
    double ratio = exposure_ratio(c);
    double base = sqrt(ratio * (count_of(c, row, SIDE_BASE) + 0.375));
    return 2 * (sqrt(count_of(c, row, SIDE_NEW) + 0.375) - base) / sqrt(1 + ratio);
}

static double share_deviation(const struct comparison *c, const struct comparison_row *row)
{
    double angle[SIDES], variance = 0;
    for (enum side side = 0; side < SIDES; side++) {
        double count = count_of(c, row, side), all = fmax(count_of(c, &c->whole, side), count);
        angle[side] = asin(sqrt((count + 0.375) / (all + 0.75)));
        variance += 1 / (4 * all + 2);
    }
    return (angle[SIDE_NEW] - angle[SIDE_BASE]) / sqrt(variance);
}

static void judge(const struct comparison *c, struct comparison_row *row)
{
    for (enum side side = 0; side < SIDES; side++)
        row->amount[side] = (double)row->value[side] * c->scale[side];
    row->delta = row->amount[SIDE_NEW] - row->amount[SIDE_BASE];
    row->share = row->delta / c->whole.amount[SIDE_BASE];
    row->z =
        c->normalization == NORMALIZE_TOTAL ? share_deviation(c, row) : rate_deviation(c, row);
    /* A value that grew while its samples became fewer says nothing. */
    if (row->z * row->delta <= 0)
        row->z = 0;
    row->confidence = erf(fabs(row->z) / sqrt(2));
    row->stands_out = row->confidence >= COMPARISON_CONFIDENT;
}

/* --- the rows --- */

/* What each row has of a column. The report is kept only of PAIR_NEW: one is enough to tell
 * what rows are, and four are large. */
static int count_column(struct comparison *c, enum pair_column column, int64_t *amounts[],
                        int64_t totals[])
{
    struct report counted;
    const struct profile *pair = c->folded ? c->folded : c->pair;
    int status = report_count(&counted, pair, c->report.what, column);
    if (status)
        return status;
    totals[column] = counted.total;
    amounts[column] = calloc(counted.row_count + 1, sizeof(*amounts[column]));
    for (size_t i = 0; amounts[column] && i < counted.row_count; i++)
        amounts[column][i] = c->cumulative ? counted.rows[i].total : counted.rows[i].self;
    if (column == PAIR_NEW)
        c->report = counted;
    else
        report_free(&counted);
    return amounts[column] ? 0 : -ENOMEM;
}

static int compare_rows(const void *left, const void *right)
{
    const struct comparison_row *a = left, *b = right;
    double weight_a = fabs(a->delta) * a->confidence, weight_b = fabs(b->delta) * b->confidence;
    if (weight_a != weight_b)
        return weight_a > weight_b ? -1 : 1;
    double most_a = fmax(a->amount[SIDE_BASE], a->amount[SIDE_NEW]);
    double most_b = fmax(b->amount[SIDE_BASE], b->amount[SIDE_NEW]);
    if (most_a != most_b)
        return most_a > most_b ? -1 : 1;
    int order = strcmp(a->what->name, b->what->name);
    if (!order)
        order = strcmp(a->what->file, b->what->file);
    return order ? order : (a->what->line > b->what->line) - (a->what->line < b->what->line);
}

/* Rows that no sample touches, or that have nothing themselves, are left out. */
static int make_rows(struct comparison *c, int64_t *const amounts[])
{
    size_t count = c->report.row_count;
    c->rows = calloc(count + 1, sizeof(*c->rows));
    if (!c->rows)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        struct comparison_row row = {.what = &c->report.rows[i]};
        for (enum side side = 0; side < SIDES; side++) {
            row.value[side] = amounts[value_column[side]][i];
            row.samples[side] = amounts[samples_column[side]][i];
        }
        if (row.value[SIDE_BASE] == 0 && row.value[SIDE_NEW] == 0)
            continue;
        judge(c, &row);
        c->rows[c->row_count++] = row;
    }
    if (c->row_count > 0)
        qsort(c->rows, c->row_count, sizeof(*c->rows), compare_rows);
    return 0;
}

/* --- both sides --- */

static bool knows_duration(const struct comparison_side *side)
{
    return profile_header_const(side->profile)->duration_ns > 0;
}

/* Is it time, or the samples that stand for it? Of that, a longer look has more. */
static bool is_time(const struct comparison_side *side)
{
    return unit_kind(profile_unit(side->profile, side->summary.column)) == UNIT_TIME ||
           strcmp(profile_type(side->profile, side->summary.column), "samples") == 0;
}

static enum normalization choose(const struct comparison_side sides[SIDES])
{
    const struct comparison_side *new = &sides[SIDE_NEW];
    if (measure_is_level(profile_type(new->profile, new->summary.column)))
        return NORMALIZE_NONE;
    if (knows_duration(&sides[SIDE_BASE]) && knows_duration(new))
        return NORMALIZE_SECOND;
    return is_time(new) ? NORMALIZE_TOTAL : NORMALIZE_NONE;
}

/* What values become amounts by. */
static double scale_of(enum normalization normalization, const struct profile *profile,
                       int64_t total)
{
    if (normalization == NORMALIZE_NONE)
        return 1;
    return normalization == NORMALIZE_TOTAL
               ? 1 / (double)total
               : 1e9 / (double)profile_header_const(profile)->duration_ns;
}

static int normalize(struct comparison *c, const struct comparison_side sides[SIDES],
                     enum normalization wanted, const int64_t totals[])
{
    if (wanted == NORMALIZE_SECOND &&
        !(knows_duration(&sides[SIDE_BASE]) && knows_duration(&sides[SIDE_NEW])))
        return -ENODATA;
    c->normalization = wanted == NORMALIZE_AUTO ? choose(sides) : wanted;
    for (enum side side = 0; side < SIDES; side++) {
        int64_t total = totals[value_column[side]];
        if (total <= 0)
            return -ENODATA;
        c->scale[side] = scale_of(c->normalization, sides[side].profile, total);
        c->weight[side] = pair_weight(sides[side].profile, sides[side].summary.column);
        c->whole.value[side] = total;
        c->whole.samples[side] = totals[samples_column[side]];
        c->whole.amount[side] = (double)total * c->scale[side];
    }
    judge(c, &c->whole);
    return 0;
}

int comparison_make(struct comparison *comparison, const struct comparison_side sides[SIDES],
                    const struct comparison_view *view)
{
    struct pair_side pair[SIDES];
    for (enum side side = 0; side < SIDES; side++)
        pair[side] = (struct pair_side){sides[side].profile, sides[side].summary.column};
    int64_t *amounts[PAIR_COLUMNS] = {NULL}, totals[PAIR_COLUMNS] = {0};
    *comparison =
        (struct comparison){.cumulative = view->cumulative, .report.what = view->what};
    comparison->pair = profile_pair(&pair[SIDE_BASE], &pair[SIDE_NEW]);
    int status = comparison->pair ? 0 : -ENOMEM;
    if (!status && !view->all_native && profile_has_helpers(comparison->pair)) {
        comparison->folded = profile_fold(comparison->pair);
        status = comparison->folded ? 0 : -ENOMEM;
    }
    for (enum pair_column i = 0; !status && i < PAIR_COLUMNS; i++)
        status = count_column(comparison, i, amounts, totals);
    if (!status)
        status = normalize(comparison, sides, view->normalize, totals);
    if (!status)
        status = make_rows(comparison, amounts);
    for (enum pair_column i = 0; i < PAIR_COLUMNS; i++)
        free(amounts[i]);
    if (status)
        comparison_free(comparison);
    return status;
}

void comparison_free(struct comparison *comparison)
{
    report_free(&comparison->report);
    free(comparison->rows);
    profile_free(comparison->pair);
    profile_free(comparison->folded);
    *comparison = (struct comparison){0};
}
