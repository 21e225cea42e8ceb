/* cprof spans: which request the time went to. */
#include <limits.h>
#include <stdbool.h>

#include "selection.h"
#include "table.h"

enum { OPTION_TRACES = OPTION_OWN, OPTION_JSON };

struct spans_options {
    struct selection selection;
    enum report_by by;
    bool json;
    unsigned long rows;
};

static const char help[] = "Usage: cprof spans [OPTIONS] FILE…\n"
                           "\n"
                           "Prints how much CPU time each span used, and of which trace it is. "
                           "A span's own time: what\n"
                           "its child spans used is theirs. Several files are merged.\n"
                           "\n"
                           "  -n N            rows to print (default 20)\n"
                           "  --traces        one row per trace, all its spans together\n"
                           "  --json          for programs: one JSON object; a span's trace is "
                           "its \"file\"\n" SELECTION_HELP "\n"
                           "Example:\n"
                           "  cprof spans --label endpoint=/cart profile.pb.gz\n";

static int take_option(void *closure, int option, char *argument)
{
    struct spans_options *options = closure;
    switch (option) {
    case 'n':
        return parse_number(&command_spans, "-n", argument, 1, ULONG_MAX, &options->rows);
    case OPTION_TRACES:
        options->by = REPORT_BY_TRACE;
        return GO_ON;
    case OPTION_JSON:
        options->json = true;
        return GO_ON;
    default:
        return selection_take(&options->selection, &command_spans, option, argument);
    }
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        {"traces", no_argument, NULL, OPTION_TRACES},
        {"json", no_argument, NULL, OPTION_JSON},
        SELECTION_OPTIONS,
        {0},
    };
    struct spans_options options = {.rows = 20, .by = REPORT_BY_SPAN};
    int status = parse_options(&command_spans, argc, argv, "n:", known, take_option, &options);
    if (status != GO_ON)
        return status;
    if (optind == argc)
        return wrong_usage(&command_spans, "which file?");
    struct profile *profile =
        selection_load(&options.selection, argv + optind, (size_t)(argc - optind));
    if (!profile)
        return EXIT_FAILED;
    status = table_show(profile, options.by, false, options.rows, options.json);
    profile_free(profile);
    return status;
}

const struct command command_spans = {
    .name = "spans",
    .summary = "CPU time by span and trace",
    .help = help,
    .run = run,
};
