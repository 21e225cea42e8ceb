/* cprof convert: a profile in another format. */
#include "format/format.h"
#include "selection.h"

static const char help[] = "Usage: cprof convert [OPTIONS] IN OUT\n"
                           "\n"
                           "Writes a profile in another format: the ending of OUT picks it. IN "
                           "is known by its ending\n"
                           "or by its bytes.\n"
                           "\n" SELECTION_HELP "\n"
                           "Example:\n"
                           "  cprof convert profile.pb.gz profile.speedscope.json\n";

static int take_option(void *closure, int option, char *argument)
{
    return selection_take(closure, &command_convert, option, argument);
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {SELECTION_OPTIONS, {0}};
    struct selection selection = {0};
    int status =
        parse_options(&command_convert, argc, argv, "", known, take_option, &selection);
    if (status != GO_ON)
        return status;
    if (argc - optind != 2)
        return wrong_usage(&command_convert, "needs two files, IN and OUT");
    const char *output = argv[optind + 1];
    if (!format_by_path(output))
        return wrong_usage(&command_convert, "the ending of \"%s\" is of no format that I know",
                           output);
    return selection_write(&selection, argv + optind, 1, output);
}

const struct command command_convert = {
    .name = "convert",
    .summary = "a profile in another format",
    .help = help,
    .run = run,
};
