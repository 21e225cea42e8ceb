/* cprof run: runs a program profiled, and shows what came of it. */
#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "autostart.h"
#include "command.h"
#include "format/html.h"
#include "output.h"
#include "page.h"
#include "profile/measures.h"
#include "progress.h"
#include "selection.h"
#include "table.h"
#include "temporary.h"

#define MAX_OUTPUTS 8
#define PATIENCE 1.0       /* seconds, for processes that end with the program */
#define ROWS 15            /* of the table at the end */
#define EXIT_NOT_FOUND 127 /* as the shell and env(1) have it */
#define EXIT_NOT_EXECUTABLE 126

enum { OPTION_RATE = OPTION_OWN, OPTION_TYPES };

struct run_options {
    struct output outputs[MAX_OUTPUTS];
    size_t output_count;
    const char *format; /* of --format, or NULL */
    bool standard; /* one of them is standard output, which the program then leaves to it */
    struct autostart start;
    struct selection selection;
    struct page_options page;
    char usual[64]; /* the output that nobody named */
};

static const char help[] =
    "Usage: cprof run [OPTIONS] -- COMMAND [ARGUMENTS]\n"
    "\n"
    "Runs a Python, Ruby or Node program with cprof in it and in its children, then prints "
    "the\n"
    "hottest functions to standard error and says where the profile is. The exit code is the\n"
    "program's own; 128 + n when signal n ended it.\n"
    "\n"
    "  -o OUT          where to write the profile; may be given several times; the ending "
    "picks\n"
    "                  the format. Default: cprof-PID.html, a flame graph. \"-\" is standard\n"
    "                  output; what the program writes there then goes to standard "
    "error\n" OUTPUT_FORMAT_HELP
    "  --rate N        samples per second of CPU time and thread (1–1000, default 100)\n"
    "  --types LIST    what to measure; cpu, offcpu, wall, alloc, heap, lock, blame,\n"
    "                  exception, gc\n"
    "  --all-native    also the interpreter's own frames, in the table and at first on the\n"
    "                  page; else they count to the method\n"
    "  --no-source     no source in the page\n" SELECTION_HELP "\n"
    "Example:\n"
    "  cprof run -o profile.html -o profile.pb.gz -- python3 app.py\n";

/* What could not be written at the end is better known before the start. */
static int check_output(const char *path)
{
    struct stat info;
    char copy[PATH_MAX];
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return fail("%s: is a directory", path);
    if (snprintf(copy, sizeof(copy), "%s", path) >= (int)sizeof(copy))
        return fail("%s: %s", path, strerror(ENAMETOOLONG));
    if (access(dirname(copy), W_OK) < 0)
        return fail("%s: %s", path, strerror(errno));
    return GO_ON;
}

static int take_types(struct run_options *options, const char *list)
{
    char known[128];
    measure_sources(known, sizeof(known));
    for (const char *at = list;; at++) {
        size_t length = strcspn(at, ",@"); /* what is behind the @ the engine judges */
        bool is_all = length == 3 && strncmp(at, "all", length) == 0;
        if (!is_all && !measure_is_source(at, length))
            return wrong_usage(&command_run, "--types needs a list of %s, not \"%s\"", known,
                               list);
        at += strcspn(at, ",");
        if (!*at)
            break;
    }
    options->start.types = list;
    return GO_ON;
}

static int take_option(void *closure, int option, char *argument)
{
    struct run_options *options = closure;
    unsigned long rate;
    switch (option) {
    case 'o':
        if (options->output_count == MAX_OUTPUTS)
            return wrong_usage(&command_run, "at most %d files to write", MAX_OUTPUTS);
        options->outputs[options->output_count++].path = argument;
        return GO_ON;
    case OPTION_FORMAT:
        options->format = argument;
        return GO_ON;
    case OPTION_RATE:
        options->start.rate = argument;
        return parse_number(&command_run, "--rate", argument, 1, 1000, &rate);
    case OPTION_TYPES:
        return take_types(options, argument);
    case OPTION_ALL_NATIVE:
        options->page.html.all_native = true;
        return GO_ON;
    case OPTION_NO_SOURCE:
        options->page.no_source = true;
        return GO_ON;
    default:
        return selection_take(&options->selection, &command_run, option, argument);
    }
}

/* Of all, once --format is known. */
static int check_outputs(struct run_options *options)
{
    int status = GO_ON;
    for (size_t i = 0; status == GO_ON && i < options->output_count; i++) {
        struct output *output = &options->outputs[i];
        const bool standard = output_is_standard(output->path);
        options->standard |= standard;
        if (options->format)
            status = output_take_format(output, &command_run, options->format);
        if (status == GO_ON)
            status = output_settle(output, &command_run);
        if (status == GO_ON && !standard)
            status = check_output(output->path);
    }
    return status;
}

/* `past`: with the levels that were, for pages. */
static int write_output(const struct run_options *options, const struct profile *profile,
                        const struct profile *past, const struct output *output)
{
    const struct format *format = output->format;
    struct buffer content = {0};
    struct page_sources sources;
    struct html_options html;
    page_open_sources(&sources, &options->page, &html);
    int status = format == &format_html ? html_write_page(past, &html, &content)
                                        : format->write(profile, &content);
    page_close_sources(&sources);
    return output_write(output->path, &content, status);
}

/* Returns how many could not be written, which has been told. */
static size_t write_outputs(const struct run_options *options, const struct profile *profile,
                            const struct profile *past)
{
    size_t failed = 0;
    for (size_t i = 0; i < options->output_count; i++) {
        const struct output *output = &options->outputs[i];
        if (write_output(options, profile, past, output) == EXIT_DONE)
            fprintf(stderr, "%s %s\n", i == 0 ? "\nprofile:" : "        ",
                    output_is_standard(output->path) ? "standard output" : output->path);
        else
            failed++;
    }
    return failed;
}

static void print_table(const struct profile *profile, bool all_native)
{
    struct report report;
    if (report_make(&report, profile, (struct report_rows){.by = REPORT_BY_FUNCTION}, false,
                    all_native)) {
        fail("out of memory");
        return;
    }
    fputc('\n', stderr);
    table_print(&report, ROWS, stderr);
    report_free(&report);
}

/* The program has ended: makes the best of what it left. */
static void finish(struct run_options *options, const struct child_end *end)
{
    struct profile *past, *profile;
    char reason[PATH_MAX + 256];
    struct notes notes;
    signal(SIGPIPE, SIG_IGN); /* the profile matters more than who reads the table */
    notes_settle(options->start.directory, PATIENCE, &notes);
    int status = temporary_merge(options->start.directory, &past);
    if (status) {
        fail("the profiles could not be merged; they are kept in %s", options->start.directory);
        return;
    }
    if (!past) {
        autostart_explain(&options->start, end, &notes, reason, sizeof(reason));
        temporary_remove(options->start.directory);
        fail("no profile: %s", reason);
        return;
    }
    past = selection_apply(&options->selection, past);
    profile = past ? load_without_past(past) : NULL;
    if (!profile) {
        fail("the profiles are kept in %s", options->start.directory);
        profile_free(past);
        return;
    }
    if (options->output_count == 0) {
        snprintf(options->usual, sizeof(options->usual), "cprof-%d.html", (int)end->pid);
        options->outputs[options->output_count++] =
            (struct output){.path = options->usual, .format = &format_html};
    }
    progress_end();
    print_table(profile, options->page.html.all_native);
    if (notes.running > 0)
        fprintf(
            stderr,
            "\n%zu process%s of it still run%s: what %s from now on is not in the profile\n",
            notes.running, notes.running == 1 ? "" : "es", notes.running == 1 ? "s" : "",
            notes.running == 1 ? "it does" : "they do");
    if (write_outputs(options, profile, past))
        fail("the profiles are kept in %s", options->start.directory);
    else
        temporary_remove(options->start.directory);
    profile_free(profile);
    profile_free(past);
}

static int run_program(struct run_options *options, char *const *argv)
{
    struct child_end end = {0};
    int status = autostart_prepare(&options->start);
    if (status) {
        temporary_remove(options->start.directory);
        return fail("cannot prepare the environment: %s", strerror(-status));
    }
    status = child_run(argv, options->standard ? STDERR_FILENO : STDOUT_FILENO, &end);
    if (status) {
        temporary_remove(options->start.directory);
        fail("cannot run \"%s\": %s", argv[0], strerror(-status));
        return status == -ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
    }
    finish(options, &end);
    return end.exit_code;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        {"rate", required_argument, NULL, OPTION_RATE},
        {"types", required_argument, NULL, OPTION_TYPES},
        {"all-native", no_argument, NULL, OPTION_ALL_NATIVE},
        {"no-source", no_argument, NULL, OPTION_NO_SOURCE},
        OUTPUT_FORMAT_OPTION,
        SELECTION_OPTIONS,
        {0},
    };
    struct run_options options = {0};
    char folder[PATH_MAX];
    /* "+": what follows the program's name is the program's. */
    int status = parse_options(&command_run, argc, argv, "+o:", known, take_option, &options);
    if (status != GO_ON)
        return status;
    if (optind == argc)
        return wrong_usage(&command_run, "which program?");
    status = check_outputs(&options);
    if (status != GO_ON)
        return status;
    status = temporary_make(folder);
    if (status)
        return fail("cannot make a temporary folder: %s", strerror(-status));
    options.start.program = argv[optind];
    options.start.directory = folder;
    return run_program(&options, argv + optind);
}

const struct command command_run = {
    .name = "run",
    .summary = "runs a program profiled",
    .help = help,
    .run = run,
    .runs_program = true,
};
