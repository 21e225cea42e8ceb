/* cprof top: the hottest functions, as a table. */
#include <limits.h>
#include <stdbool.h>

#include "selection.h"
#include "table.h"

enum { OPTION_CUM = OPTION_OWN, OPTION_BY, OPTION_JSON };

struct top_options {
    struct selection selection;
    enum report_by by;
    bool cumulative, json;
    unsigned long rows;
};

static const char help[] =
    "Usage: cprof top [OPTIONS] FILE…\n"
    "\n"
    "Prints where the time went: what each function used itself (self) and together with all\n"
    "that it called (total; recursion counts once). Several files are merged.\n"
    "\n"
    "  -n N            rows to print (default 20)\n"
    "  --cum           sort by total instead of self\n"
    "  --by WHAT       one row per function (default), line, file, module, type, thread\n"
    "                  or stack\n"
    "  --json          for programs: one JSON object, values in the profile's own "
    "unit\n" SELECTION_HELP "\n"
    "Example:\n"
    "  cprof top --cum -n 10 --thread worker-1 profile.pb.gz\n";

static int take_option(void *closure, int option, char *argument)
{
    struct top_options *options = closure;
    switch (option) {
    case 'n':
        return parse_number(&command_top, "-n", argument, 1, ULONG_MAX, &options->rows);
    case OPTION_CUM:
        options->cumulative = true;
        return GO_ON;
    case OPTION_JSON:
        options->json = true;
        return GO_ON;
    case OPTION_BY:
        if (report_parse_by(argument, &options->by) == 0 && options->by <= REPORT_BY_STACK)
            return GO_ON;
        return wrong_usage(
            &command_top,
            "--by needs function, line, file, module, type, thread or stack, not "
            "\"%s\"",
            argument);
    default:
        return selection_take(&options->selection, &command_top, option, argument);
    }
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        {"cum", no_argument, NULL, OPTION_CUM},
        {"by", required_argument, NULL, OPTION_BY},
        {"json", no_argument, NULL, OPTION_JSON},
        SELECTION_OPTIONS,
        {0},
    };
    struct top_options options = {.rows = 20};
    int status = parse_options(&command_top, argc, argv, "n:", known, take_option, &options);
    if (status != GO_ON)
        return status;
    if (optind == argc)
        return wrong_usage(&command_top, "which file?");
    struct profile *profile =
        selection_load(&options.selection, argv + optind, (size_t)(argc - optind));
    if (!profile)
        return EXIT_FAILED;
    status = table_show(profile, options.by, options.cumulative, options.rows, options.json);
    profile_free(profile);
    return status;
}

const struct command command_top = {
    .name = "top",
    .summary = "the hottest functions, as a table",
    .help = help,
    .run = run,
};
