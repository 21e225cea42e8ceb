/* cprof diff: what grew and what shrank between two profiles. */
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "comparison.h"
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
};

struct diff_options {
    struct request request;
    struct html_source source;
    struct selection own[SIDES]; /* nothing but a label, which goes before the common one */
    enum normalization normalize;
    double fail_over; /* a part of 1; negative = never */
    const char *output;
};

static const char help[] =
    "Usage: cprof diff [OPTIONS] BASE NEW\n"
    "\n"
    "Prints what grew and what shrank from BASE to NEW: CPU time per second of wall time "
    "where\n"
    "both profiles know how long they are, else shares of each one's total. Sorted by change,\n"
    "weighted with its confidence. That comes from the numbers of samples, as two Poisson "
    "counts\n"
    "(per second) or two proportions (shares); below 99.9% a change is within sampling noise,\n"
    "marked with \"~\", and grey on a terminal.\n"
    "\n"
    "  -o OUT.html     also write a flame graph of NEW, red where it grew, green where it "
    "shrank\n"
    "  -n N            rows to print (default 20)\n"
    "  --cum           compare totals (with all that is called) instead of "
    "self\n" REQUEST_BY_HELP
    "  --normalize HOW \"second\" or \"total\", where the choice above does not fit\n"
    "  --fail-over PCT exit with 3 when a row grew by more than PCT percent of BASE's total,\n"
    "                  more than noise explains (by total: by more than PCT points)\n"
    "  --base-label K=V, --new-label K=V\n"
    "                  only samples with this label on one side, in place of --label\n"
    "  --json          for programs: one JSON object\n" PAGE_HELP SELECTION_HELP "\n"
    "Example:\n"
    "  cprof diff --fail-over 5 main.pb.gz branch.pb.gz -o diff.html\n";

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
    options->normalize = strcmp(argument, "second") == 0  ? NORMALIZE_SECOND
                         : strcmp(argument, "total") == 0 ? NORMALIZE_TOTAL
                                                          : NORMALIZE_AUTO;
    if (options->normalize != NORMALIZE_AUTO)
        return GO_ON;
    return wrong_usage(&command_diff, "--normalize needs second or total, not \"%s\"",
                       argument);
}

static int take_option(void *closure, int option, char *argument)
{
    struct diff_options *options = closure;
    int status = page_take(&command_diff, option, argument, &options->source, &options->output);
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
    default:
        return request_take(&options->request, &command_diff, option, argument);
    }
}

/* Says why, and returns NULL, when there is nothing to compare. */
static struct profile *load_side(const struct diff_options *options, enum side side,
                                 char *const *path)
{
    struct selection selection = options->request.selection;
    const struct profile_filter *own = &options->own[side].filter;
    if (own->label_key) {
        selection.filter.label_key = own->label_key;
        selection.filter.label_value = own->label_value;
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

/* Both sides must have the value that is looked at: NEW's own default, or --type. */
static int match_columns(struct comparison_side sides[SIDES], char *const *paths)
{
    const struct profile *base = sides[SIDE_BASE].profile, *new = sides[SIDE_NEW].profile;
    const char *type = profile_type(new, sides[SIDE_NEW].summary.column);
    const char *unit = profile_unit(new, sides[SIDE_NEW].summary.column);
    int column = profile_value_column(base, type);
    if (column < 0)
        return fail("%s: has no type \"%s\" to compare with", paths[SIDE_BASE], type);
    const char *found = profile_unit(base, (size_t)column);
    if (strcmp(found, unit) != 0)
        return fail("%s: has %s in %s, not in %s", paths[SIDE_BASE], type, found, unit);
    sides[SIDE_BASE].summary.column = (size_t)column;
    return GO_ON;
}

static int write_page(const struct diff_options *options, const struct comparison *comparison,
                      const struct comparison_side sides[SIDES], const char *const *names)
{
    const struct profile *new = sides[SIDE_NEW].profile;
    struct html_comparison page = {
        .type = profile_type(new, sides[SIDE_NEW].summary.column),
        .service = sides[SIDE_NEW].summary.service,
        .per_second = comparison->normalization == NORMALIZE_SECOND,
        .base = {names[SIDE_BASE], profile_header_const(sides[SIDE_BASE].profile)->duration_ns},
        .new = {names[SIDE_NEW], profile_header_const(new)->duration_ns},
    };
    struct buffer content = {0};
    progress_begin("writing", 0, options->output);
    int status = html_write_comparison(comparison->pair, &page, &options->source, &content);
    return page_write(&content, status, options->output);
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

static int show(const struct diff_options *options, const struct comparison *comparison,
                const struct comparison_side sides[SIDES], char *const *paths)
{
    const char *const names[SIDES] = {paths[SIDE_BASE], paths[SIDE_NEW]};
    if (options->request.json &&
        comparison_print_json(comparison, sides, names, options->request.rows))
        return fail("out of memory");
    if (!options->request.json)
        comparison_print(comparison, sides, names, options->request.rows);
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
    for (enum side side = 0; side < SIDES; side++)
        if (profile_summarize(sides[side].profile, &sides[side].summary))
            return fail("out of memory");
    int status = match_columns(sides, paths);
    if (status != GO_ON)
        return status;
    progress_begin("comparing", 0, "both profiles");
    status = comparison_make(&comparison, sides, options->normalize, options->request.by,
                             options->request.cumulative);
    if (status == -ENODATA)
        return fail("there is nothing to compare: a profile's total is 0");
    if (status)
        return fail("out of memory");
    progress_end();
    status = show(options, &comparison, sides, paths);
    comparison_free(&comparison);
    return status;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        REQUEST_ROW_OPTIONS,
        REQUEST_JSON_OPTION,
        {"normalize", required_argument, NULL, OPTION_NORMALIZE},
        {"fail-over", required_argument, NULL, OPTION_FAIL_OVER},
        {"base-label", required_argument, NULL, OPTION_BASE_LABEL},
        {"new-label", required_argument, NULL, OPTION_NEW_LABEL},
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
    if (argc - optind != SIDES)
        return wrong_usage(&command_diff, "needs two files, BASE and NEW");
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
