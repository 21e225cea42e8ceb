/* cprof flame: a flame graph out of profiles. */
#include "page.h"
#include "progress.h"

struct flame_options {
    struct selection selection;
    struct html_source source;
    const char *output;
};

static const char help[] =
    "Usage: cprof flame [OPTIONS] FILE… -o OUT.html\n"
    "\n"
    "Writes a flame graph: one file that opens in any browser, without a network. It can be\n"
    "searched, zoomed, turned upside down (who calls this), and filtered by thread, label,\n"
    "trace and span. Several files are merged.\n"
    "\n"
    "  -o OUT.html     where to write it\n" PAGE_HELP SELECTION_HELP "\n"
    "Example:\n"
    "  cprof flame profile.pb.gz -o profile.html\n";

static int take_option(void *closure, int option, char *argument)
{
    struct flame_options *options = closure;
    int status =
        page_take(&command_flame, option, argument, &options->source, &options->output);
    if (status != PAGE_NOT_MINE)
        return status;
    return selection_take(&options->selection, &command_flame, option, argument);
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {PAGE_OPTIONS, SELECTION_OPTIONS, {0}};
    struct flame_options options = {.selection.intervals = true};
    int status = parse_options(&command_flame, argc, argv, "o:", known, take_option, &options);
    if (status != GO_ON)
        return status;
    if (optind == argc)
        return wrong_usage(&command_flame, "which file?");
    if (!options.output)
        return wrong_usage(&command_flame, "-o OUT.html is missing");
    struct profile *profile =
        selection_load(&options.selection, argv + optind, (size_t)(argc - optind));
    if (!profile)
        return EXIT_FAILED;
    struct buffer content = {0};
    progress_begin("writing", 0, options.output);
    status = html_write_page(profile, &options.source, &content);
    profile_free(profile);
    return page_write(&content, status, options.output);
}

const struct command command_flame = {
    .name = "flame",
    .summary = "a flame graph, as one HTML file",
    .help = help,
    .run = run,
};
