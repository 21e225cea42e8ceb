/* cprof stop: profiling off in a running process. */
#include <string.h>

#include "process.h"

static const char help[] =
    "Usage: cprof stop PID\n"
    "\n"
    "Switches profiling off in a running process, whoever switched it on, and has it deliver\n"
    "what there is. It can be started again.\n"
    "\n"
    "Example:\n"
    "  cprof stop 4711\n";

static int run(int argc, char **argv)
{
    static const struct option known[] = {{0}};
    struct buffer target = {0};
    int status = parse_options(&command_stop, argc, argv, "", known, NULL, NULL);
    if (status != GO_ON)
        return status;
    buffer_append(&target, "/cprof/stop", strlen("/cprof/stop"));
    status = process_order(&command_stop, argc, argv, &target);
    buffer_free(&target);
    return status;
}

const struct command command_stop = {
    .name = "stop",
    .summary = "switches it off",
    .help = help,
    .run = run,
    .asks_process = true,
};
