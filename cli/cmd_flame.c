/* cprof flame: a flame graph out of profiles. */
#include "format/format.h"
#include "selection.h"

struct flame_options {
    struct selection selection;
    const char *output;
};

static const char help[] =
    "Usage: cprof flame [OPTIONS] FILE… -o OUT.html\n"
    "\n"
    "Writes a flame graph: one file that opens in any browser, without a network. It can be\n"
    "searched, zoomed, turned upside down (who calls this), and filtered by thread, label,\n"
    "trace and span. Several files are merged.\n"
    "\n"
    "  -o OUT.html     where to write it\n" SELECTION_HELP "\n"
    "Example:\n"
    "  cprof flame profile.pb.gz -o profile.html\n";

static int take_option(void *closure, int option, char *argument)
{
    struct flame_options *options = closure;
    if (option != 'o')
        return selection_take(&options->selection, &command_flame, option, argument);
    options->output = argument;
    if (format_by_path(argument) != &format_html)
        return wrong_usage(&command_flame, "-o needs a name that ends in .html, not \"%s\"",
                           argument);
    return GO_ON;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {SELECTION_OPTIONS, {0}};
    struct flame_options options = {0};
    int status = parse_options(&command_flame, argc, argv, "o:", known, take_option, &options);
    if (status != GO_ON)
        return status;
    if (optind == argc)
        return wrong_usage(&command_flame, "which file?");
    if (!options.output)
        return wrong_usage(&command_flame, "-o OUT.html is missing");
    return selection_write(&options.selection, argv + optind, (size_t)(argc - optind),
                           options.output);
}

const struct command command_flame = {
    .name = "flame",
    .summary = "a flame graph, as one HTML file",
    .help = help,
    .run = run,
};
