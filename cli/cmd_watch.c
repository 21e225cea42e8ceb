/* cprof watch: what got worse in history, for cron. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comparison.h"
#include "history.h"
#include "progress.h"
#include "selection.h"
#include "terminal.h"

#define ROWS_MAX 20
#define NAME_MAX_COLUMNS 100

enum { OPTION_BASE_SPAN = OPTION_OWN, OPTION_NEW_SPAN, OPTION_OVER };

struct watch_options {
    struct selection selection;
    struct span spans[SIDES]; /* `to` 0: the default */
    double over;              /* a part of 1 */
};

static const char help[] =
    "Usage: cprof watch [OPTIONS] DIR\n"
    "\n"
    "Compares the last hour of the history that CPROF_STORE_DIR=DIR keeps with the hour "
    "before,\n"
    "and prints the functions that take more: by more than sampling noise explains, as cprof\n"
    "diff judges it, and by more than --over. Exits with 3 if there are any, with 0 if not.\n"
    "\n"
    "  --service NAME  only this service's\n"
    "  --base TIME, --new TIME\n"
    "                  what to compare instead: -25h..-24h, \"yesterday 9:00..10:00\"\n"
    "  --over PCT      percent of BASE's total that a function must have grown by (default "
    "5)\n" SELECTION_HELP "\n"
    "Example:\n"
    "  cprof watch --service shop --base -25h..-24h /var/lib/cprof || mail -s slower "
    "team@shop\n";

static int take_over(struct watch_options *options, const char *argument)
{
    char *end;
    double percent = strtod(argument, &end);
    if (end == argument || *end || !isfinite(percent) || percent < 0)
        return wrong_usage(&command_watch, "--over needs a percentage, not \"%s\"", argument);
    options->over = percent / 100;
    return GO_ON;
}

static int take_option(void *closure, int option, char *argument)
{
    struct watch_options *options = closure;
    switch (option) {
    case OPTION_BASE_SPAN:
        return history_take_span(&command_watch, "--base", argument,
                                 &options->spans[SIDE_BASE]);
    case OPTION_NEW_SPAN:
        return history_take_span(&command_watch, "--new", argument, &options->spans[SIDE_NEW]);
    case OPTION_OVER:
        return take_over(options, argument);
    default:
        return selection_take(&options->selection, &command_watch, option, argument);
    }
}

/* The last hour, and one as long as NEW right before it. */
static void settle_spans(struct span spans[SIDES])
{
    const uint64_t now = history_now(), hour = UINT64_C(3600000000000);
    if (spans[SIDE_NEW].to == 0)
        spans[SIDE_NEW] = (struct span){now - hour, now};
    const uint64_t length = spans[SIDE_NEW].to - spans[SIDE_NEW].from;
    if (spans[SIDE_BASE].to == 0)
        spans[SIDE_BASE] = (struct span){spans[SIDE_NEW].from - length, spans[SIDE_NEW].from};
}

static void print_row(const struct terminal *terminal, const struct comparison_row *row)
{
    printf("%+8.1f%%  ", 100 * row->share);
    terminal_print(terminal, STYLE_PLAIN, row->what->name, row->what->name_length,
                   NAME_MAX_COLUMNS, CUT_END, false);
    if (row->what->file[0] != '\0') {
        fputs("  ", stdout);
        terminal_print(terminal, STYLE_DIM, row->what->file, strlen(row->what->file),
                       NAME_MAX_COLUMNS, CUT_START, false);
    }
    putchar('\n');
}

static void print_head(const struct watch_options *options, const char *type)
{
    char from[TIMES_TEXT_SIZE], to[TIMES_TEXT_SIZE];
    times_write(from, options->spans[SIDE_NEW].from);
    times_write(to, options->spans[SIDE_NEW].to);
    printf("%s to %s, against ", from, to);
    times_write(from, options->spans[SIDE_BASE].from);
    times_write(to, options->spans[SIDE_BASE].to);
    printf("%s to %s: more %s than noise explains, of all then\n", from, to, type);
}

/* What grew, the most telling first. */
static int print_grown(const struct watch_options *options, const struct comparison *comparison,
                       const char *type)
{
    const struct terminal terminal = terminal_of(stdout);
    size_t grown = 0;
    for (size_t i = 0; i < comparison->row_count; i++) {
        const struct comparison_row *row = &comparison->rows[i];
        if (!row->stands_out || row->share <= options->over)
            continue;
        if (grown++ == 0)
            print_head(options, type);
        if (grown <= ROWS_MAX)
            print_row(&terminal, row);
    }
    if (grown > ROWS_MAX)
        printf("and %zu more\n", grown - ROWS_MAX);
    return grown > 0 ? EXIT_GREW : EXIT_DONE;
}

static int compare(const struct watch_options *options, struct comparison_side sides[SIDES])
{
    struct comparison comparison;
    for (enum side side = 0; side < SIDES; side++)
        if (profile_summarize(sides[side].profile, &sides[side].summary))
            return fail("out of memory");
    const char *type = profile_type(sides[SIDE_NEW].profile, sides[SIDE_NEW].summary.column);
    int column = profile_value_column(sides[SIDE_BASE].profile, type);
    if (column < 0)
        return fail("there is no %s in the time to compare with", type);
    sides[SIDE_BASE].summary.column = (size_t)column;
    const struct comparison_view view = {.normalize = NORMALIZE_AUTO};
    int status = comparison_make(&comparison, sides, &view);
    if (status)
        return status == -ENODATA ? fail("there is nothing to compare: a total is 0")
                                  : fail("out of memory");
    progress_end();
    status = print_grown(options, &comparison, type);
    comparison_free(&comparison);
    return status;
}

static struct profile *load_side(const struct watch_options *options, enum side side)
{
    struct selection selection = options->selection;
    selection.history.span = options->spans[side];
    return selection_load(&selection, NULL, 0);
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        {"service", required_argument, NULL, OPTION_SERVICE},
        {"base", required_argument, NULL, OPTION_BASE_SPAN},
        {"new", required_argument, NULL, OPTION_NEW_SPAN},
        {"over", required_argument, NULL, OPTION_OVER},
        SELECTION_OPTIONS,
        {0},
    };
    struct watch_options options = {.over = 0.05};
    int status = parse_options(&command_watch, argc, argv, "", known, take_option, &options);
    if (status != GO_ON)
        return status;
    if (argc - optind != 1)
        return wrong_usage(&command_watch, "needs one folder");
    options.selection.history.folder = argv[optind];
    settle_spans(options.spans);
    struct profile *base = load_side(&options, SIDE_BASE);
    struct profile *new = base ? load_side(&options, SIDE_NEW) : NULL;
    struct comparison_side sides[SIDES] = {{.profile = base}, {.profile = new}};
    status = new ? compare(&options, sides) : EXIT_FAILED;
    profile_free(base);
    profile_free(new);
    return status;
}

const struct command command_watch = {
    .name = "watch",
    .summary = "what got worse in history, for cron",
    .help = help,
    .run = run,
};
