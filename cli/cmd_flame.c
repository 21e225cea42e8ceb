/* cprof flame: a flame graph out of profiles. */
#include <string.h>

#include "page.h"
#include "progress.h"

struct flame_options {
    struct selection selection;
    struct page_options page;
    const char *output;
};

static const char help[] =
    "Usage: cprof flame [OPTIONS] FILE… -o OUT.html\n"
    "\n"
    "Writes a flame graph: one file that opens in any browser, without a network. It can be\n"
    "searched, zoomed, turned upside down (who calls this), and filtered by thread, label,\n"
    "trace and span. Several files are merged.\n"
    "\n"
    "  -o OUT.html     where to write it; \"-\" is standard output\n"
    "  --all-native    begin with the interpreter's own frames, which else count to the "
    "method\n"
    "                  that called them until the page is asked for them\n" PAGE_HELP
        HISTORY_HELP SELECTION_HELP "\n"
    "Example:\n"
    "  cprof flame profile.pb.gz -o profile.html\n";

static int take_option(void *closure, int option, char *argument)
{
    struct flame_options *options = closure;
    if (option == OPTION_ALL_NATIVE) {
        options->page.html.all_native = true;
        return GO_ON;
    }
    int status = page_take(&command_flame, option, argument, &options->page, &options->output);
    if (status != PAGE_NOT_MINE)
        return status;
    return selection_take(&options->selection, &command_flame, option, argument);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* `path` is the profile's where it is one file, else "-". Returns the exit code. */
static int write_page(const struct flame_options *options, const struct profile *profile,
                      const char *path)
{
    struct buffer content = {0};
    struct page_sources sources;
    struct html_options html;
    progress_begin("writing", 0, options->output);
    page_open_sources(&sources, &options->page, &html);
    if (strcmp(path, "-") != 0)
        html.name = base_name(path);
    int status = html_write_page(profile, &html, &content);
    page_close_sources(&sources);
    return output_write(options->output, &content, status);
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        {"all-native", no_argument, NULL, OPTION_ALL_NATIVE},
        PAGE_OPTIONS,
        HISTORY_OPTIONS,
        SELECTION_OPTIONS,
        {0},
    };
    struct flame_options options = {.selection.keep = KEEP_PAST};
    int status = parse_options(&command_flame, argc, argv, "o:", known, take_option, &options);
    if (status != GO_ON)
        return status;
    status = selection_check(&options.selection, &command_flame, argc - optind);
    if (status != GO_ON)
        return status;
    if (!options.output)
        return wrong_usage(&command_flame, "-o OUT.html is missing");
    struct profile *profile =
        selection_load(&options.selection, argv + optind, (size_t)(argc - optind));
    if (!profile)
        return EXIT_FAILED;
    status = write_page(&options, profile, argc - optind == 1 ? argv[optind] : "-");
    profile_free(profile);
    return status;
}

const struct command command_flame = {
    .name = "flame",
    .summary = "a flame graph, as one HTML file",
    .help = help,
    .run = run,
};
