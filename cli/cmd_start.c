/* cprof start: profiling on in a running process. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process.h"

static const char help[] =
    "Usage: cprof start [OPTIONS] PID\n"
    "\n"
    "Switches profiling on in a running process that stands by (CPROF_ENABLED=standby) or in\n"
    "which it was switched off. The process's own variables say the rest: where profiles go,\n"
    "how they are labelled.\n"
    "\n"
    "  --types LIST    what to profile, as in CPROF_TYPES: cpu, cpu@200hz\n"
    "  --rate N        samples per second of CPU time and thread\n"
    "  -o OUT          write to this file instead of where the variables say\n"
    "\n"
    "Example:\n"
    "  cprof start --types cpu@200hz 4711\n";

enum { OPTION_TYPES = 256, OPTION_RATE };

static int add_path(struct buffer *target, const char *path)
{
    char folder[PATH_MAX], whole[2 * PATH_MAX];
    if (path[0] != '/' && !getcwd(folder, sizeof folder))
        return fail("the current folder has no name any more");
    snprintf(whole, sizeof whole, "%s%s%s", path[0] != '/' ? folder : "",
             path[0] != '/' ? "/" : "", path);
    process_escape(target, "output", whole);
    return GO_ON;
}

static int take_option(void *target, int option, char *argument)
{
    unsigned long rate;
    int status = GO_ON;
    switch (option) {
    case OPTION_TYPES:
        process_escape(target, "types", argument);
        return GO_ON;
    case OPTION_RATE:
        status = parse_number(&command_start, "--rate", argument, 1, 1000, &rate);
        if (status == GO_ON)
            process_escape(target, "rate", argument);
        return status;
    default:
        return add_path(target, argument);
    }
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        {"types", required_argument, NULL, OPTION_TYPES},
        {"rate", required_argument, NULL, OPTION_RATE},
        {0},
    };
    struct buffer target = {0};
    buffer_append(&target, "/cprof/start", strlen("/cprof/start"));
    int status = parse_options(&command_start, argc, argv, "o:", known, take_option, &target);
    if (status == GO_ON)
        status = process_order(&command_start, argc, argv, &target);
    buffer_free(&target);
    return status;
}

const struct command command_start = {
    .name = "start",
    .summary = "switches profiling on in a running process",
    .help = help,
    .run = run,
    .asks_process = true,
};
