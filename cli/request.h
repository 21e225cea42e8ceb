/*
 * What people ask of a command that prints a table: which samples, which rows, in which order,
 * how many, for people or for programs.
 */
#ifndef CPROF_CLI_REQUEST_H
#define CPROF_CLI_REQUEST_H

#include "report.h"
#include "selection.h"

#define REQUEST_ROWS 20 /* without -n */

/* For a command's array of struct option, and its letters. */
#define REQUEST_LETTERS "n:"
#define REQUEST_JSON_OPTION                                                                    \
    {                                                                                          \
        "json", no_argument, NULL, OPTION_JSON                                                 \
    }
#define REQUEST_ROW_OPTIONS                                                                    \
    {"cum", no_argument, NULL, OPTION_CUM},                                                    \
    {                                                                                          \
        "by", required_argument, NULL, OPTION_BY                                               \
    }

#define REQUEST_BY_HELP                                                                        \
    "  --by WHAT       one row per function (default), line, file, module, type, thread\n"     \
    "                  or stack\n"

struct request {
    struct selection selection;
    enum report_by by;
    bool cumulative, json;
    unsigned long rows; /* to print */
};

/* Takes one of those options, or one of a selection's. GO_ON, or EXIT_USAGE after having said
 * why. */
int request_take(struct request *request, const struct command *command, int option,
                 char *argument);

/* The whole of a command that reads files and prints a table of them. `request` begins with the
 * command's defaults; `take` sees to its own options and leaves the rest to request_take().
 * Returns the exit code. */
int request_serve(struct request *request, const struct command *command, int argc, char **argv,
                  const struct option *known,
                  int (*take)(void *request, int option, char *argument));

#endif
