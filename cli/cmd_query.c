/* cprof query: a span of history as a profile. */
#include "history.h"
#include "progress.h"
#include "selection.h"

struct query_options {
    struct selection selection;
    struct output output;
};

static const char help[] =
    "Usage: cprof query [OPTIONS] DIR -o OUT\n"
    "\n"
    "Takes a profile of any time out of the history that CPROF_STORE_DIR=DIR keeps; the "
    "ending\n"
    "of OUT picks the format. Without times it is all that there is.\n"
    "\n"
    "  -o OUT          where to write it\n" HISTORY_RANGE_HELP
    "  --intervals     keep apart what was when (label cprof.interval): a flame graph of OUT\n"
    "                  then shows the time, and can be narrowed to a part of it; .html always\n"
    "                  does\n" OUTPUT_FORMAT_HELP SELECTION_HELP "\n"
    "Example:\n"
    "  cprof query /var/lib/cprof --from \"yesterday 14:00\" --to \"yesterday 15:00\" -o "
    "out.html\n";

enum { OPTION_INTERVALS = OPTION_OWN };

static int take_option(void *closure, int option, char *argument)
{
    struct query_options *options = closure;
    switch (option) {
    case OPTION_INTERVALS:
        options->selection.keep = KEEP_INTERVALS;
        return GO_ON;
    case OPTION_FORMAT:
        return output_take_format(&options->output, &command_query, argument);
    case 'o':
        options->output.path = argument;
        return GO_ON;
    default:
        return selection_take(&options->selection, &command_query, option, argument);
    }
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        {"intervals", no_argument, NULL, OPTION_INTERVALS},
        HISTORY_RANGE_OPTIONS,
        OUTPUT_FORMAT_OPTION,
        SELECTION_OPTIONS,
        {0},
    };
    struct query_options options = {0};
    int status = parse_options(&command_query, argc, argv, "o:", known, take_option, &options);
    if (status != GO_ON)
        return status;
    if (argc - optind != 1)
        return wrong_usage(&command_query, "needs one folder");
    if (!options.output.path)
        return wrong_usage(&command_query, "-o OUT is missing");
    status = output_settle(&options.output, &command_query);
    if (status != GO_ON)
        return status;
    options.selection.history.folder = argv[optind];
    if (options.output.format == &format_html)
        options.selection.keep = KEEP_PAST;
    return selection_write(&options.selection, NULL, 0, &options.output);
}

const struct command command_query = {
    .name = "query",
    .summary = "a profile of any time, out of history",
    .help = help,
    .run = run,
};
