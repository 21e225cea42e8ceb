/* cprof record: a profile of a running process. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "process.h"
#include "profile/profile.h"
#include "progress.h"
#include "selection.h"

#define MOST_SECONDS 600.0
#define ANSWER_WAIT 60.0 /* seconds, on top of those that are recorded */

static const char help[] =
    "Usage: cprof record [OPTIONS] PID -o OUT\n"
    "\n"
    "Records what a running process does from now on, and writes the profile. Where profiling\n"
    "is off it is switched on for that time, and sends nothing elsewhere.\n"
    "\n"
    "  --seconds N     for how long, from 0.1 to 600 (default 10)\n"
    "  -o OUT          the profile; its ending picks the format, \"-\" is standard "
    "output\n" OUTPUT_FORMAT_HELP
    "  --types LIST    where it is off: what to profile, as in CPROF_TYPES\n"
    "\n"
    "Example:\n"
    "  cprof record --seconds 10 -o out.html 4711\n";

enum { OPTION_SECONDS = OPTION_OWN, OPTION_TYPES };

struct record_options {
    struct output output;
    double seconds;
    const char *types;
};

static int take_option(void *closure, int option, char *argument)
{
    struct record_options *options = closure;
    char *end;
    switch (option) {
    case 'o':
        options->output.path = argument;
        return GO_ON;
    case OPTION_SECONDS:
        options->seconds = strtod(argument, &end);
        if (end != argument && !*end && options->seconds >= 0.1 &&
            options->seconds <= MOST_SECONDS)
            return GO_ON;
        return wrong_usage(&command_record,
                           "--seconds needs a number from 0.1 to 600, not \"%s\"", argument);
    case OPTION_TYPES:
        options->types = argument;
        return GO_ON;
    default:
        return output_take_format(&options->output, &command_record, argument);
    }
}

static int write_profile(const struct answer *answer, const struct output *output)
{
    char error[FORMAT_ERROR_SIZE];
    struct buffer content = {0};
    struct profile *profile =
        format_read(&format_pprof, answer->body.data, answer->body.size, error);
    if (!profile)
        return fail("what the process sent: %s", error);
    int status = output->format->write(profile, &content);
    profile_free(profile);
    return output_write(output->path, &content, status);
}

static int record(struct process *process, const struct record_options *options)
{
    struct buffer target = {0};
    struct answer answer;
    char seconds[32];
    static const char page[] = "/debug/pprof/profile";
    buffer_append(&target, page, sizeof page - 1);
    snprintf(seconds, sizeof seconds, "%.3f", options->seconds);
    process_escape(&target, "seconds", seconds);
    if (options->types)
        process_escape(&target, "types", options->types);
    buffer_append(&target, "", 1);
    if (target.error)
        return fail("there is no memory");
    progress_begin("recording", 0, "the process");
    int status = process_ask(process, "GET", (char *)target.data,
                             options->seconds + ANSWER_WAIT, &answer);
    progress_end();
    if (status == GO_ON)
        status = write_profile(&answer, &options->output);
    buffer_free(&answer.body);
    buffer_free(&target);
    return status;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        {"seconds", required_argument, NULL, OPTION_SECONDS},
        {"types", required_argument, NULL, OPTION_TYPES},
        OUTPUT_FORMAT_OPTION,
        {0},
    };
    struct record_options options = {.seconds = 10};
    struct process process;
    int status = parse_options(&command_record, argc, argv, "o:", known, take_option, &options);
    if (status != GO_ON)
        return status;
    if (!options.output.path)
        return wrong_usage(&command_record, "-o OUT is missing");
    status = output_settle(&options.output, &command_record);
    if (status == GO_ON)
        status = process_parse(&command_record, argc, argv, &process);
    return status == GO_ON ? record(&process, &options) : status;
}

const struct command command_record = {
    .name = "record",
    .summary = "a profile of a running process",
    .help = help,
    .run = run,
    .asks_process = true,
};
