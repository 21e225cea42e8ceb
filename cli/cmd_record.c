/* cprof record: a profile of a running process. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "process.h"
#include "profile/profile.h"
#include "progress.h"
#include "recorder.h"
#include "selection.h"

#define MOST_SECONDS 600.0
#define DEFAULT_SECONDS 10.0
#define ANSWER_WAIT 60.0 /* seconds, on top of those that are recorded */

static const char help[] =
    "Usage: cprof record [OPTIONS] PID -o OUT\n"
    "       cprof record --last TIME [--store DIR] PID -o OUT\n"
    "\n"
    "Records what a running process does from now on, and writes the profile. Where profiling\n"
    "is off it is switched on for that time, and sends nothing elsewhere. With --last it is "
    "what\n"
    "the process did up to now, out of the history that CPROF_STORE_DIR has it keep.\n"
    "\n"
    "  --seconds N     for how long, from 0.1 to 600 (default 10)\n"
    "  --last TIME     so much of what has been: 30s, 5m, 2h\n"
    "  --store DIR     with --last: the folder of its history, also of a process that is gone; "
    "up\n"
    "                  to the last that there is of it\n"
    "  --service NAME  with --store: only this service's\n"
    "  -o OUT          the profile; its ending picks the format, \"-\" is standard "
    "output\n" OUTPUT_FORMAT_HELP
    "  --types LIST    where it is off: what to profile, as in CPROF_TYPES\n"
    "\n"
    "Example:\n"
    "  cprof record --seconds 10 -o out.html 4711\n"
    "  cprof record --last 5m -o incident.html 4711\n";

enum { OPTION_SECONDS = OPTION_OWN, OPTION_TYPES, OPTION_LAST };

struct record_options {
    struct output output;
    double seconds; /* 0: the default */
    const char *types;
    uint64_t last; /* ns of history; 0: from now on */
    struct history history;
};

/* "5m": so long ago is until when. */
static int take_last(struct record_options *options, const char *argument)
{
    char ago[64];
    const uint64_t now = history_now();
    uint64_t since;
    snprintf(ago, sizeof ago, "-%s", argument);
    if (strlen(argument) + 2 > sizeof ago || !times_parse(ago, now, &since) || since == now)
        return wrong_usage(&command_record,
                           "--last needs a time such as 30s, 5m or 2h, not \"%s\"", argument);
    options->last = now - since;
    return GO_ON;
}

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
    case OPTION_LAST:
        return take_last(options, argument);
    case OPTION_STORE:
    case OPTION_SERVICE:
        return history_take(&options->history, &command_record, option, argument);
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
    const double length = options->seconds > 0 ? options->seconds : DEFAULT_SECONDS;
    snprintf(seconds, sizeof seconds, "%.3f", length);
    process_escape(&target, "seconds", seconds);
    if (options->types)
        process_escape(&target, "types", options->types);
    buffer_append(&target, "", 1);
    if (target.error)
        return fail("there is no memory");
    progress_begin("recording", 0, "the process");
    int status =
        process_ask(process, "GET", (char *)target.data, length + ANSWER_WAIT, &answer);
    progress_end();
    if (status == GO_ON)
        status = write_profile(&answer, &options->output);
    buffer_free(&answer.body);
    buffer_free(&target);
    return status;
}

/* A process that has ended is to be found by its number alone. */
static struct profile *read_history(const struct record_options *options, int argc, char **argv,
                                    int *status)
{
    const enum load_keep keep =
        options->output.format == &format_html ? KEEP_PAST : KEEP_NOTHING;
    struct process process;
    unsigned long pid;
    *status = argc - optind == 1
                  ? parse_number(&command_record, "PID", argv[optind], 1, INT_MAX, &pid)
                  : wrong_usage(&command_record, "which process: one PID is needed");
    if (*status != GO_ON)
        return NULL;
    if (options->history.folder)
        return recorder_find(&options->history, (long)pid, options->last, keep);
    process_find((pid_t)pid, &process);
    if (process.state == PROCESS_GONE)
        *status = fail("there is no process %lu; --store DIR reads what it has left", pid);
    else
        *status = process_parse(&command_record, argc, argv, &process);
    return *status == GO_ON ? recorder_ask(&process, options->last, keep) : NULL;
}

static int record_last(const struct record_options *options, int argc, char **argv)
{
    struct buffer content = {0};
    int status;
    struct profile *profile = read_history(options, argc, argv, &status);
    if (!profile)
        return status == GO_ON ? EXIT_FAILED : status;
    status = options->output.format->write(profile, &content);
    profile_free(profile);
    return output_write(options->output.path, &content, status);
}

/* What goes with what. */
static int check(const struct record_options *options)
{
    if (!options->output.path)
        return wrong_usage(&command_record, "-o OUT is missing");
    if (options->last == 0 && (options->history.folder || options->history.service))
        return wrong_usage(&command_record, "--store and --service go with --last");
    if (options->last > 0 && (options->seconds > 0 || options->types))
        return wrong_usage(&command_record, "--last is of what has been: not with --seconds or "
                                            "--types");
    if (options->history.service && !options->history.folder)
        return wrong_usage(&command_record, "--service goes with --store DIR");
    return GO_ON;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        {"seconds", required_argument, NULL, OPTION_SECONDS},
        {"types", required_argument, NULL, OPTION_TYPES},
        {"last", required_argument, NULL, OPTION_LAST},
        {"store", required_argument, NULL, OPTION_STORE},
        {"service", required_argument, NULL, OPTION_SERVICE},
        OUTPUT_FORMAT_OPTION,
        {0},
    };
    struct record_options options = {0};
    struct process process;
    int status = parse_options(&command_record, argc, argv, "o:", known, take_option, &options);
    if (status != GO_ON)
        return status;
    status = check(&options);
    if (status == GO_ON)
        status = output_settle(&options.output, &command_record);
    if (status == GO_ON && options.last > 0)
        return record_last(&options, argc, argv);
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
