/* cprof dump: all threads of a running process, now. */
#include <stdio.h>
#include <string.h>

#include "output.h"
#include "process.h"
#include "selection.h"

#define ANSWER_WAIT 30.0 /* seconds */

static const char help[] =
    "Usage: cprof dump [OPTIONS] PID\n"
    "\n"
    "Shows what every thread of a running process does at this moment: its state, what it\n"
    "waits for and since when, its span and labels, and its stack, native and interpreted.\n"
    "Threads with the same stack stand together; a deadlock is said first. No thread that\n"
    "waits is disturbed, and it works while the interpreter hangs, where profiling is on.\n"
    "\n"
    "  -o OUT          write it to a file: text; JSON if it ends in .json; else a profile\n"
    "                  whose ending picks the format, for cprof diff among others\n"
    "  --format NAME   text, json or pprof, whatever the name of OUT ends in\n"
    "\n"
    "Example:\n"
    "  cprof dump 4711\n";

struct dump_options {
    const char *path;             /* NULL: standard output */
    const char *asked;            /* "text", "json", "pprof"; NULL: as the path ends */
    const struct format *profile; /* what the answer becomes; NULL: it stays as it is */
};

static int take_option(void *closure, int option, char *argument)
{
    struct dump_options *options = closure;
    if (option == 'o') {
        options->path = argument;
        return GO_ON;
    }
    if (strcmp(argument, "text") != 0 && strcmp(argument, "json") != 0 &&
        strcmp(argument, "pprof") != 0)
        return wrong_usage(&command_dump, "--format needs text, json or pprof, not \"%s\"",
                           argument);
    options->asked = argument;
    return GO_ON;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), size = strlen(end);
    return length >= size && strcmp(text + length - size, end) == 0;
}

/* What the process is asked for. Text in files that end so is a dump's here, not stacks. */
static void settle(struct dump_options *options)
{
    const char *path = options->path ? options->path : "";
    const struct format *format = format_by_path(path);
    if (options->asked)
        return;
    options->asked = "text";
    if (format && !ends_with(path, ".txt")) {
        options->asked = "pprof";
        options->profile = format;
    } else if (ends_with(path, ".json")) {
        options->asked = "json";
    }
}

/* The page, or another format of the same profile. Frees the answer. */
static int write_answer(struct answer *answer, const struct dump_options *options)
{
    char error[FORMAT_ERROR_SIZE];
    const char *path = options->path ? options->path : "-";
    struct buffer content = {0};
    if (!options->profile)
        return output_write(path, &answer->body, 0);
    struct profile *profile =
        format_read(&format_pprof, answer->body.data, answer->body.size, error);
    buffer_free(&answer->body);
    if (!profile)
        return fail("what the process sent: %s", error);
    int status = options->profile->write(profile, &content);
    profile_free(profile);
    return output_write(path, &content, status);
}

static int dump(struct process *process, const struct dump_options *options)
{
    char target[64];
    struct answer answer;
    snprintf(target, sizeof target, "/debug/pprof/threads?format=%s", options->asked);
    int status = process_ask(process, "GET", target, ANSWER_WAIT, &answer);
    if (status == GO_ON)
        return write_answer(&answer, options);
    buffer_free(&answer.body);
    return status;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        {"format", required_argument, NULL, OPTION_FORMAT},
        {0},
    };
    struct dump_options options = {.path = NULL};
    struct process process;
    int status = parse_options(&command_dump, argc, argv, "o:", known, take_option, &options);
    if (status == GO_ON)
        status = process_parse(&command_dump, argc, argv, &process);
    settle(&options);
    return status == GO_ON ? dump(&process, &options) : status;
}

const struct command command_dump = {
    .name = "dump",
    .summary = "what all its threads do now",
    .help = help,
    .run = run,
    .asks_process = true,
};
