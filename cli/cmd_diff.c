/* cprof diff: what grew and what shrank between two profiles. */
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "comparison.h"
#include "comparison_page.h"
#include "comparison_table.h"
#include "page.h"
#include "progress.h"
#include "request.h"
#include "terminal.h"

enum {
    OPTION_NORMALIZE = OPTION_OWN,
    OPTION_FAIL_OVER,
    OPTION_BASE_LABEL,
    OPTION_NEW_LABEL,
    OPTION_BASE_SPAN,
    OPTION_NEW_SPAN,
};

struct diff_options {
    struct request request;
    struct page_options page;
    struct selection own[SIDES]; /* nothing but a label, which goes before the common one */
    enum normalization normalize;
    double fail_over; /* a part of 1; negative = never */
    const char *output;
    char *span_texts[SIDES]; /* --base and --new, as they were given */
    struct span spans[SIDES];
};

static const char help[] =
    "Usage: cprof diff [OPTIONS] BASE NEW\n"
    "\n"
    "Prints what grew and what shrank from BASE to NEW: CPU time per second of wall time "
    "where\n"
    "both profiles know how long they are, else shares of each one's total; levels, such as\n"
    "memory in use, as they stand. Sorted by change, weighted with its confidence. That comes\n"
    "from the numbers of observations, as two Poisson counts or (shares) two proportions; "
    "below\n"
    "99.9% a change is within sampling noise, marked with \"~\", and grey on a terminal.\n"
    "\n"
    "  -o OUT.html     also write a flame graph of both, orange where it grew, blue where it "
    "shrank;\n"
    "                  \"-\" is standard output, which then has no table\n"
    "  -n N            rows to print (default 20)\n"
    "  --cum           compare totals (with all that is called) instead of "
    "self\n" REQUEST_BY_HELP
    "  --normalize HOW \"second\", \"total\" or \"none\", where the choice above does not fit\n"
    "  --fail-over PCT exit with 3 when a row grew by more than PCT percent of BASE's total,\n"
    "                  more than noise explains (by total: by more than PCT points)\n"
    "  --base-label K=V, --new-label K=V\n"
    "                  only samples with this label on one side, in place of --label\n"
    "  --store DIR     compare two times of history, in the place of files\n"
    "  --base TIME, --new TIME\n"
    "                  which: \"monday 9:00..10:00\", yesterday, -2h..-1h, -1h\n"
    "  --service NAME  only this service's\n"
    "  --json, --csv   for programs: one JSON object, or comma-separated rows\n" PAGE_HELP
        SELECTION_HELP "\n"
    "Example:\n"
    "  cprof diff --fail-over 5 main.pb.gz branch.pb.gz -o diff.html\n"
    "  cprof diff --store /var/lib/cprof --base \"monday 9:00..10:00\" --new \"today "
    "9:00..10:00\"\n";

static int take_percent(struct diff_options *options, const char *argument)
{
    char *end;
    double percent = strtod(argument, &end);
    if (end == argument || *end || !isfinite(percent) || percent < 0)
        return wrong_usage(&command_diff, "--fail-over needs a percentage, not \"%s\"",
                           argument);
    options->fail_over = percent / 100;
    return GO_ON;
}

static int take_normalize(struct diff_options *options, const char *argument)
{
    options->normalize = comparison_parse_normalization(argument);
    if (options->normalize != NORMALIZE_AUTO)
        return GO_ON;
    return wrong_usage(&command_diff, "--normalize needs second, total or none, not \"%s\"",
                       argument);
}

static int take_option(void *closure, int option, char *argument)
{
    struct diff_options *options = closure;
    int status = page_take(&command_diff, option, argument, &options->page, &options->output);
    if (status != PAGE_NOT_MINE)
        return status;
    switch (option) {
    case OPTION_NORMALIZE:
        return take_normalize(options, argument);
    case OPTION_FAIL_OVER:
        return take_percent(options, argument);
    case OPTION_BASE_LABEL:
        return selection_take(&options->own[SIDE_BASE], &command_diff, OPTION_LABEL, argument);
    case OPTION_NEW_LABEL:
        return selection_take(&options->own[SIDE_NEW], &command_diff, OPTION_LABEL, argument);
    case OPTION_BASE_SPAN:
        options->span_texts[SIDE_BASE] = argument;
        return history_take_span(&command_diff, "--base", argument, &options->spans[SIDE_BASE]);
    case OPTION_NEW_SPAN:
        options->span_texts[SIDE_NEW] = argument;
        return history_take_span(&command_diff, "--new", argument, &options->spans[SIDE_NEW]);
    default:
        return request_take(&options->request, &command_diff, option, argument);
    }
}

/* A side's own labels stand for those of both that have their keys. False: too many. */
static bool add_own_labels(struct profile_filter *filter, const struct profile_filter *own)
{
    const struct profile_filter both = *filter;
    filter->label_count = 0;
    for (size_t i = 0; i < both.label_count; i++) {
        bool replaced = false;
        for (size_t j = 0; j < own->label_count; j++)
            replaced = replaced || strcmp(own->labels[j].key, both.labels[i].key) == 0;
        if (!replaced)
            profile_filter_label(filter, both.labels[i]);
    }
    for (size_t j = 0; j < own->label_count; j++)
        if (!profile_filter_label(filter, own->labels[j]))
            return false;
    return true;
}

/* Says why, and returns NULL, when there is nothing to compare. */
static struct profile *load_side(const struct diff_options *options, enum side side,
                                 char *const *path)
{
    struct selection selection = options->request.selection;
    selection.history.span = options->spans[side];
    if (!add_own_labels(&selection.filter, &options->own[side].filter)) {
        wrong_usage(&command_diff, "at most %d labels", PROFILE_FILTER_LABELS);
        return NULL;
    }
    struct profile *profile = selection_load(&selection, path, 1);
    if (!profile)
        return NULL;
    if (profile_sample_count(profile) == 0)
        fail("%s: no samples that match", *path);
    else if (options->normalize == NORMALIZE_SECOND &&
             profile_header_const(profile)->duration_ns == 0)
        fail("%s: does not tell how long it is, so nothing per second can be said", *path);
    else
        return profile;
    profile_free(profile);
    return NULL;
}

static int write_page(const struct diff_options *options, const struct comparison *comparison,
                      const struct comparison_side sides[SIDES], const char *const *names)
{
    struct page_sources sources;
    struct html_options layout;
    struct buffer content = {0};
    page_open_sources(&sources, &options->page, &layout);
    layout.all_native = options->request.all_native;
    progress_begin("writing", 0, options->output);
    int status = comparison_write_page(comparison, sides, names, &layout, &content);
    page_close_sources(&sources);
    return output_write(options->output, &content, status);
}

/* The row that grew most of those over the limit, or NULL. */
static const struct comparison_row *find_failure(const struct comparison *comparison,
                                                 double limit)
{
    const struct comparison_row *worst = NULL;
    for (size_t i = 0; i < comparison->row_count; i++) {
        const struct comparison_row *row = &comparison->rows[i];
        if (row->stands_out && row->share > limit && (!worst || row->share > worst->share))
            worst = row;
    }
    return worst;
}

static int check_growth(const struct comparison *comparison, double limit)
{
    const struct comparison_row *grown = find_failure(comparison, limit);
    if (!grown)
        return EXIT_DONE;
    struct terminal terminal = terminal_of(stderr);
    fputs("cprof: ", stderr);
    terminal_print(&terminal, STYLE_PLAIN, grown->what->name, grown->what->name_length, 200,
                   CUT_END, false);
    fprintf(stderr, " grew by %.1f%% of BASE's total, more than %g%%\n", 100 * grown->share,
            100 * limit);
    return EXIT_GREW;
}

/* The table, in the form that was asked for. 0 or -ENOMEM. */
static int print_rows(const struct diff_options *options, const struct comparison *comparison,
                      const struct comparison_side sides[SIDES], const char *const names[SIDES])
{
    const size_t rows = options->request.rows;
    switch (options->request.form) {
    case TABLE_JSON:
        return comparison_print_json(comparison, sides, names, rows);
    case TABLE_CSV:
        return comparison_print_csv(comparison, rows);
    default:
        comparison_print(comparison, sides, names, rows);
        return 0;
    }
}

static int show(const struct diff_options *options, const struct comparison *comparison,
                const struct comparison_side sides[SIDES], char *const *paths)
{
    const char *const names[SIDES] = {paths[SIDE_BASE], paths[SIDE_NEW]};
    const bool alone = options->output && output_is_standard(options->output);
    if (!alone && print_rows(options, comparison, sides, names))
        return fail("out of memory");
    if (options->output) {
        int status = write_page(options, comparison, sides, names);
        if (status != EXIT_DONE)
            return status;
    }
    return options->fail_over < 0 ? EXIT_DONE : check_growth(comparison, options->fail_over);
}

static int compare(const struct diff_options *options, struct comparison_side sides[SIDES],
                   char *const *paths)
{
    struct comparison comparison;
    const char *const names[SIDES] = {paths[SIDE_BASE], paths[SIDE_NEW]};
    int status = comparison_match(sides, names);
    if (status != GO_ON)
        return status;
    progress_begin("comparing", 0, "both profiles");
    const struct comparison_view view = {
        .normalize = options->normalize,
        .what = options->request.what,
        .cumulative = options->request.cumulative,
        .all_native = options->request.all_native,
    };
    status = comparison_make(&comparison, sides, &view);
    if (status == -ENODATA)
        return fail("there is nothing to compare: a profile's total is 0");
    if (status)
        return fail("out of memory");
    progress_end();
    status = show(options, &comparison, sides, paths);
    comparison_free(&comparison);
    return status;
}

/* Two files, or two times of a store; *paths becomes what they are called. */
static int check_sides(struct diff_options *options, char *const **paths, int count)
{
    const bool store = options->request.selection.history.folder != NULL;
    const bool times = options->span_texts[SIDE_BASE] && options->span_texts[SIDE_NEW];
    if (store && times && count == 0)
        *paths = options->span_texts;
    else if (store)
        return wrong_usage(&command_diff, "--store needs --base and --new, and no files");
    else if (options->span_texts[SIDE_BASE] || options->span_texts[SIDE_NEW])
        return wrong_usage(&command_diff, "--base and --new go with --store DIR");
    else if (count != SIDES)
        return wrong_usage(&command_diff, "needs two files, BASE and NEW");
    return GO_ON;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        REQUEST_ROW_OPTIONS,
        REQUEST_JSON_OPTION,
        REQUEST_CSV_OPTION,
        {"normalize", required_argument, NULL, OPTION_NORMALIZE},
        {"fail-over", required_argument, NULL, OPTION_FAIL_OVER},
        {"base-label", required_argument, NULL, OPTION_BASE_LABEL},
        {"new-label", required_argument, NULL, OPTION_NEW_LABEL},
        {"base", required_argument, NULL, OPTION_BASE_SPAN},
        {"new", required_argument, NULL, OPTION_NEW_SPAN},
        {"store", required_argument, NULL, OPTION_STORE},
        {"service", required_argument, NULL, OPTION_SERVICE},
        PAGE_OPTIONS,
        SELECTION_OPTIONS,
        {0},
    };
    struct diff_options options = {.request.rows = REQUEST_ROWS, .fail_over = -1};
    int status = parse_options(&command_diff, argc, argv, REQUEST_LETTERS "o:", known,
                               take_option, &options);
    if (status != GO_ON)
        return status;
    char *const *paths = argv + optind;
    status = check_sides(&options, &paths, argc - optind);
    if (status != GO_ON)
        return status;
    if (options.output && output_is_standard(options.output) &&
        options.request.form != TABLE_TEXT)
        return wrong_usage(&command_diff, "one of -o and the rows can be on standard output");
    if (strcmp(paths[SIDE_BASE], "-") == 0 && strcmp(paths[SIDE_NEW], "-") == 0)
        return wrong_usage(&command_diff, "only one of the files can be standard input");
    struct profile *base = load_side(&options, SIDE_BASE, &paths[SIDE_BASE]);
    struct profile *new = base ? load_side(&options, SIDE_NEW, &paths[SIDE_NEW]) : NULL;
    struct comparison_side sides[SIDES] = {{.profile = base}, {.profile = new}};
    status = new ? compare(&options, sides, paths) : EXIT_FAILED;
    profile_free(base);
    profile_free(new);
    return status;
}

const struct command command_diff = {
    .name = "diff",
    .summary = "what grew and shrank between two profiles",
    .help = help,
    .run = run,
};
