/* cprof top: the hottest functions, as a table. */
#include "request.h"

static const char help[] =
    "Usage: cprof top [OPTIONS] FILE…\n"
    "\n"
    "Prints where the time went: what each function used itself (self) and together with all\n"
    "that it called (total; recursion counts once). Several files are merged.\n"
    "\n"
    "  -n N            rows to print (default 20)\n"
    "  --cum           sort by total instead of self\n" REQUEST_BY_HELP
    "  --idle          also what threads waited for work; else only how much that was\n"
    "  --json, --csv   for programs: one JSON object, or comma-separated rows; values in the\n"
    "                  profile's own unit\n" HISTORY_HELP SELECTION_HELP "\n"
    "Example:\n"
    "  cprof top --cum -n 10 --thread worker-1 profile.pb.gz\n";

enum { OPTION_IDLE = OPTION_OWN };

static int take_option(void *given, int option, char *argument)
{
    struct request *request = given;
    if (option != OPTION_IDLE)
        return request_take(request, &command_top, option, argument);
    request->hides_idle = false;
    return GO_ON;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        REQUEST_ROW_OPTIONS,
        REQUEST_JSON_OPTION,
        REQUEST_CSV_OPTION,
        HISTORY_OPTIONS,
        SELECTION_OPTIONS,
        {"idle", no_argument, NULL, OPTION_IDLE},
        {0},
    };
    struct request request = {.what.by = REPORT_BY_FUNCTION, .hides_idle = true};
    return request_serve(&request, &command_top, argc, argv, known, take_option);
}

const struct command command_top = {
    .name = "top",
    .summary = "the hottest functions, as a table",
    .help = help,
    .run = run,
};
