/* cprof convert: a profile in another format. */
#include "selection.h"

static const char help[] = "Usage: cprof convert [OPTIONS] IN OUT\n"
                           "\n"
                           "Writes a profile in another format: the ending of OUT picks it. IN "
                           "is known by its ending\n"
                           "or by its bytes; \"-\" is standard input, or output.\n"
                           "\n" OUTPUT_FORMAT_HELP SELECTION_HELP "\n"
                           "Example:\n"
                           "  cprof convert profile.pb.gz profile.speedscope.json\n"
                           "  cprof convert app.cpuprofile app.firefox.json\n"
                           "  cprof convert --format collapsed profile.pb.gz - | grep parse\n";

struct convert_options {
    struct selection selection;
    struct output output;
};

static int take_option(void *closure, int option, char *argument)
{
    struct convert_options *options = closure;
    if (option == OPTION_FORMAT)
        return output_take_format(&options->output, &command_convert, argument);
    return selection_take(&options->selection, &command_convert, option, argument);
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {OUTPUT_FORMAT_OPTION, SELECTION_OPTIONS, {0}};
    struct convert_options options = {0};
    int status = parse_options(&command_convert, argc, argv, "", known, take_option, &options);
    if (status != GO_ON)
        return status;
    if (argc - optind != 2)
        return wrong_usage(&command_convert, "needs two files, IN and OUT");
    options.output.path = argv[optind + 1];
    status = output_settle(&options.output, &command_convert);
    if (status != GO_ON)
        return status;
    return selection_write(&options.selection, argv + optind, 1, &options.output);
}

const struct command command_convert = {
    .name = "convert",
    .summary = "a profile in another format",
    .help = help,
    .run = run,
};
