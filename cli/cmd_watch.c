/* cprof watch: what got worse in history, for cron. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "comparison_page.h"
#include "history.h"
#include "output.h"
#include "progress.h"
#include "remote.h"
#include "selection.h"
#include "terminal.h"

#define ROWS_MAX 20
#define NAME_MAX_COLUMNS 100

enum {
    OPTION_BASE_SIDE = OPTION_OWN,
    OPTION_NEW_SIDE,
    OPTION_OVER,
    OPTION_NORMALIZE,
    OPTION_KEEP
};

struct watch_options {
    struct selection selection;
    const char *sides[SIDES]; /* as they were given; NULL: the default */
    double over;              /* a part of 1 */
    enum normalization normalize;
    struct output keep; /* without a path: nothing is kept */
    char *url;          /* in the place of history, or NULL */
};

/* What is compared, for the reader of the head. */
#define NAME_SIZE 512
struct names {
    char text[SIDES][NAME_SIZE];
};

static const char help[] =
    "Usage: cprof watch [OPTIONS] DIR\n"
    "       cprof watch [OPTIONS] --base FILE|URL URL\n"
    "       cprof watch [OPTIONS] --keep FILE URL\n"
    "\n"
    "Compares the last hour of the history that CPROF_STORE_DIR=DIR keeps with the hour "
    "before,\n"
    "and prints the functions that take more: by more than sampling noise explains, as cprof\n"
    "diff judges it, and by more than --over. Exits with 3 if there are any, with 0 if not.\n"
    "Of a running program's URL it takes a profile, as cprof top does, and compares that.\n"
    "\n"
    "  --service NAME  only this service's\n"
    "  --base TIME, --new TIME\n"
    "                  what to compare instead: -25h..-24h, \"yesterday 9:00..10:00\"; with a "
    "URL\n"
    "                  the base is a FILE or another URL\n"
    "  --keep FILE     with a URL: the base is what the last call has taken and kept in FILE\n"
    "  --normalize total\n"
    "                  compare shares of the whole, so that more load is not worse (else CPU a "
    "second)\n"
    "  --over PCT      percent of BASE's total that a function must have grown by (default "
    "5)\n" SELECTION_HELP "\n"
    "Example:\n"
    "  cprof watch --service shop --base -25h..-24h /var/lib/cprof || mail -s slower "
    "team@shop\n"
    "  cprof watch --keep /var/tmp/shop.pb.gz http://shop:6060\n";

static int take_over(struct watch_options *options, const char *argument)
{
    char *end;
    double percent = strtod(argument, &end);
    if (end == argument || *end || !isfinite(percent) || percent < 0)
        return wrong_usage(&command_watch, "--over needs a percentage, not \"%s\"", argument);
    options->over = percent / 100;
    return GO_ON;
}

static int take_normalize(struct watch_options *options, const char *argument)
{
    options->normalize = comparison_parse_normalization(argument);
    if (options->normalize != NORMALIZE_AUTO)
        return GO_ON;
    return wrong_usage(&command_watch, "--normalize needs second, total or none, not \"%s\"",
                       argument);
}

static int take_option(void *closure, int option, char *argument)
{
    struct watch_options *options = closure;
    switch (option) {
    case OPTION_BASE_SIDE:
        options->sides[SIDE_BASE] = argument;
        return GO_ON;
    case OPTION_NEW_SIDE:
        options->sides[SIDE_NEW] = argument;
        return GO_ON;
    case OPTION_KEEP:
        options->keep.path = argument;
        return GO_ON;
    case OPTION_OVER:
        return take_over(options, argument);
    case OPTION_NORMALIZE:
        return take_normalize(options, argument);
    default:
        return selection_take(&options->selection, &command_watch, option, argument);
    }
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

/* What grew, the most telling first. */
static int print_grown(const struct watch_options *options, const struct comparison *comparison,
                       const struct names *names, const char *type)
{
    const struct terminal terminal = terminal_of(stdout);
    size_t grown = 0;
    for (size_t i = 0; i < comparison->row_count; i++) {
        const struct comparison_row *row = &comparison->rows[i];
        if (!row->stands_out || row->share <= options->over)
            continue;
        if (grown++ == 0)
            printf("%s, against %s: more %s than noise explains, of all then\n",
                   names->text[SIDE_NEW], names->text[SIDE_BASE], type);
        if (grown <= ROWS_MAX)
            print_row(&terminal, row);
    }
    if (grown > ROWS_MAX)
        printf("and %zu more\n", grown - ROWS_MAX);
    return grown > 0 ? EXIT_GREW : EXIT_DONE;
}

static int compare(const struct watch_options *options, struct profile *base,
                   struct profile *new, const struct names *names)
{
    struct comparison comparison;
    struct comparison_side sides[SIDES] = {{.profile = base}, {.profile = new}};
    const char *const texts[SIDES] = {names->text[SIDE_BASE], names->text[SIDE_NEW]};
    int status = comparison_match(sides, texts);
    if (status != GO_ON)
        return status;
    const struct comparison_view view = {.normalize = options->normalize};
    status = comparison_make(&comparison, sides, &view);
    if (status)
        return status == -ENODATA ? fail("there is nothing to compare: a total is 0, or a "
                                         "time is not known")
                                  : fail("out of memory");
    progress_end();
    status = print_grown(options, &comparison, names,
                         profile_type(new, sides[SIDE_NEW].summary.column));
    comparison_free(&comparison);
    return status;
}

/* --- of history --- */

/* The last hour, and one as long as NEW right before it. */
static int take_spans(const struct watch_options *options, struct span spans[SIDES])
{
    static const char *const names[SIDES] = {"--base", "--new"};
    const uint64_t now = history_now(), hour = UINT64_C(3600000000000);
    int status = GO_ON;
    for (enum side side = 0; status == GO_ON && side < SIDES; side++)
        if (options->sides[side])
            status = history_take_span(&command_watch, names[side], options->sides[side],
                                       &spans[side]);
    if (spans[SIDE_NEW].to == 0)
        spans[SIDE_NEW] = (struct span){now - hour, now};
    const uint64_t length = spans[SIDE_NEW].to - spans[SIDE_NEW].from;
    if (spans[SIDE_BASE].to == 0)
        spans[SIDE_BASE] = (struct span){spans[SIDE_NEW].from - length, spans[SIDE_NEW].from};
    return status;
}

/* Named by what it covers: what is old is kept coarser than was asked for. */
static struct profile *load_span(const struct watch_options *options, const struct span *span,
                                 char name[NAME_SIZE])
{
    char from[TIMES_TEXT_SIZE], to[TIMES_TEXT_SIZE];
    struct selection selection = options->selection;
    selection.history.span = *span;
    selection.history.tells_cover = true;
    struct profile *profile = selection_load(&selection, NULL, 0);
    if (!profile)
        return NULL;
    const struct profile_header *header = profile_header_const(profile);
    times_write(from, header->time_ns);
    times_write(to, header->time_ns + header->duration_ns);
    snprintf(name, NAME_SIZE, "%s to %s", from, to);
    return profile;
}

static int watch_history(const struct watch_options *options)
{
    struct span spans[SIDES] = {0};
    struct names names;
    int status = take_spans(options, spans);
    if (status != GO_ON)
        return status;
    struct profile *base = load_span(options, &spans[SIDE_BASE], names.text[SIDE_BASE]);
    struct profile *new =
        base ? load_span(options, &spans[SIDE_NEW], names.text[SIDE_NEW]) : NULL;
    status = new ? compare(options, base, new, &names) : EXIT_FAILED;
    profile_free(base);
    profile_free(new);
    return status;
}

/* --- of a program that runs --- */

static struct profile *load_path(const struct watch_options *options, const char *path,
                                 char name[NAME_SIZE])
{
    char *const paths[] = {(char *)path};
    snprintf(name, NAME_SIZE, "%s", path);
    return selection_load(&options->selection, paths, 1);
}

/* In the place of what was kept before. */
static int keep(const struct watch_options *options, const struct profile *new)
{
    struct buffer content = {0};
    const int status = options->keep.format->write(new, &content);
    return output_write(options->keep.path, &content, status);
}

/* The first call has nothing to compare with. */
static int watch_url(struct watch_options *options)
{
    const char *path = options->keep.path ? options->keep.path : options->sides[SIDE_BASE];
    const bool is_first = options->keep.path && access(path, F_OK) != 0;
    struct names names;
    struct profile *new = load_path(options, options->url, names.text[SIDE_NEW]);
    struct profile *base =
        new && !is_first ? load_path(options, path, names.text[SIDE_BASE]) : NULL;
    int status = new && (is_first || base) ? EXIT_DONE : EXIT_FAILED;
    /* Comparing may change the unit of what it compares. */
    if (status == EXIT_DONE && options->keep.path)
        status = keep(options, new);
    if (status == EXIT_DONE && base)
        status = compare(options, base, new, &names);
    else if (status == EXIT_DONE)
        fprintf(stderr, "cprof: kept in %s; the next call compares with it\n", path);
    profile_free(base);
    profile_free(new);
    return status;
}

/* --- the command --- */

static int check(struct watch_options *options, char *operand)
{
    if (!remote_is(operand)) {
        options->selection.history.folder = operand;
        return options->keep.path ? wrong_usage(&command_watch, "--keep goes with a URL")
                                  : GO_ON;
    }
    options->url = operand;
    if (options->sides[SIDE_NEW] || options->selection.history.service)
        return wrong_usage(&command_watch, "--new and --service go with a folder");
    if (!options->sides[SIDE_BASE] == !options->keep.path)
        return wrong_usage(&command_watch,
                           "a URL needs what to compare with: --base or --keep");
    return options->keep.path ? output_settle(&options->keep, &command_watch) : GO_ON;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        {"service", required_argument, NULL, OPTION_SERVICE},
        {"base", required_argument, NULL, OPTION_BASE_SIDE},
        {"new", required_argument, NULL, OPTION_NEW_SIDE},
        {"over", required_argument, NULL, OPTION_OVER},
        {"normalize", required_argument, NULL, OPTION_NORMALIZE},
        {"keep", required_argument, NULL, OPTION_KEEP},
        SELECTION_OPTIONS,
        {0},
    };
    struct watch_options options = {.over = 0.05};
    int status = parse_options(&command_watch, argc, argv, "", known, take_option, &options);
    if (status != GO_ON)
        return status;
    if (argc - optind != 1)
        return wrong_usage(&command_watch, "needs one folder or URL");
    status = check(&options, argv[optind]);
    if (status != GO_ON)
        return status;
    return options.url ? watch_url(&options) : watch_history(&options);
}

const struct command command_watch = {
    .name = "watch",
    .summary = "what got worse, for cron",
    .help = help,
    .run = run,
};
