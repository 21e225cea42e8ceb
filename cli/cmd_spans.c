/* cprof spans: which request the time went to. */
#include "request.h"

enum { OPTION_TRACES = OPTION_OWN };

static const char help[] =
    "Usage: cprof spans [OPTIONS] FILE…\n"
    "\n"
    "Prints how much CPU time each span used, and of which trace it is. "
    "A span's own time: what\n"
    "its child spans used is theirs. Several files are merged.\n"
    "\n"
    "  -n N            rows to print (default 20)\n"
    "  --traces        one row per trace, all its spans together\n"
    "  --json, --csv   for programs: one JSON object, or comma-separated "
    "rows; a span's trace\n"
    "                  is its \"file\"\n" SELECTION_HELP "\n"
    "Example:\n"
    "  cprof spans --label endpoint=/cart profile.pb.gz\n";

static int take_option(void *closure, int option, char *argument)
{
    struct request *request = closure;
    if (option != OPTION_TRACES)
        return request_take(request, &command_spans, option, argument);
    request->what.by = REPORT_BY_TRACE;
    return GO_ON;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        {"traces", no_argument, NULL, OPTION_TRACES},
        REQUEST_JSON_OPTION,
        REQUEST_CSV_OPTION,
        SELECTION_OPTIONS,
        {0},
    };
    struct request request = {.what.by = REPORT_BY_SPAN};
    return request_serve(&request, &command_spans, argc, argv, known, take_option);
}

const struct command command_spans = {
    .name = "spans",
    .summary = "CPU time by span and trace",
    .help = help,
    .run = run,
};
