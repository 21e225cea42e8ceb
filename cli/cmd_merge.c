/* cprof merge: one profile out of many. */
#include "selection.h"

enum { OPTION_INTERVALS = OPTION_OWN };

struct merge_options {
    struct selection selection;
    struct output output;
};

static const char help[] =
    "Usage: cprof merge [OPTIONS] FILE… -o OUT\n"
    "\n"
    "Adds up profiles, whatever formats they have; the ending of OUT picks the format.\n"
    "\n"
    "  -o OUT          where to write it\n"
    "  --intervals     keep apart what each file covers (label cprof.interval): a flame graph "
    "of\n"
    "                  OUT then shows the time, and can be narrowed to a part of "
    "it\n" OUTPUT_FORMAT_HELP SELECTION_HELP "\n"
    "Example:\n"
    "  cprof merge worker-*.pb.gz -o all.pb.gz\n";

static int take_option(void *closure, int option, char *argument)
{
    struct merge_options *options = closure;
    if (option == OPTION_INTERVALS) {
        options->selection.keep = KEEP_INTERVALS;
        return GO_ON;
    }
    if (option == OPTION_FORMAT)
        return output_take_format(&options->output, &command_merge, argument);
    if (option != 'o')
        return selection_take(&options->selection, &command_merge, option, argument);
    options->output.path = argument;
    return GO_ON;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        {"intervals", no_argument, NULL, OPTION_INTERVALS},
        OUTPUT_FORMAT_OPTION,
        SELECTION_OPTIONS,
        {0},
    };
    struct merge_options options = {0};
    int status = parse_options(&command_merge, argc, argv, "o:", known, take_option, &options);
    if (status != GO_ON)
        return status;
    if (optind == argc)
        return wrong_usage(&command_merge, "which files?");
    if (!options.output.path)
        return wrong_usage(&command_merge, "-o OUT is missing");
    status = output_settle(&options.output, &command_merge);
    if (status != GO_ON)
        return status;
    return selection_write(&options.selection, argv + optind, (size_t)(argc - optind),
                           &options.output);
}

const struct command command_merge = {
    .name = "merge",
    .summary = "one profile out of many",
    .help = help,
    .run = run,
};
