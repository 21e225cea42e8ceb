/*
 * What people ask of a command that prints a table: which samples, which rows, in which order,
 * how many, for people or for programs.
 */
#ifndef CPROF_CLI_REQUEST_H
#define CPROF_CLI_REQUEST_H

#include "report.h"
#include "selection.h"
#include "table.h"

#define REQUEST_ROWS 20 /* without -n */

/* For a command's array of struct option, and its letters. */
#define REQUEST_LETTERS "n:"
#define REQUEST_JSON_OPTION                                                                    \
    {                                                                                          \
        "json", no_argument, NULL, OPTION_JSON                                                 \
    }
#define REQUEST_CSV_OPTION                                                                     \
    {                                                                                          \
        "csv", no_argument, NULL, OPTION_CSV                                                   \
    }
#define REQUEST_ROW_OPTIONS                                                                    \
    {"cum", no_argument, NULL, OPTION_CUM},                                                    \
        {"all-native", no_argument, NULL, OPTION_ALL_NATIVE},                                  \
    {                                                                                          \
        "by", required_argument, NULL, OPTION_BY                                               \
    }

#define REQUEST_BY_HELP                                                                        \
    "  --by WHAT       one row per function (default), line, file, module, type, thread,\n"    \
    "                  stack or label:KEY\n"                                                   \
    "  --all-native    also the interpreter's own frames, which else count to the method\n"    \
    "                  that called them\n"

struct request {
    struct selection selection;
    struct report_rows what;
    const char *title; /* the file's name, where there is one file */
    bool cumulative, all_native;
    bool hides_idle; /* waits of threads without work */
    enum table_form form;
    unsigned long rows; /* to print */
};

/* Takes one of those options, or one of a selection's. GO_ON, or EXIT_USAGE after having said
 * why. */
int request_take(struct request *request, const struct command *command, int option,
                 char *argument);

/* Parses the options and reads the files; with `name`, the first operand is that. `take` gets
 * the request, which may be the first member of something with more options. GO_ON with a
 * profile that the caller frees, or the exit code. */
int request_load(struct request *request, const struct command *command, int argc, char **argv,
                 const struct option *known,
                 int (*take)(void *request, int option, char *argument), const char **name,
                 struct profile **profile);

/* The whole of a command that reads files and prints a table of them. `request` begins with the
 * command's defaults; `take` sees to its own options and leaves the rest to request_take().
 * Returns the exit code. */
int request_serve(struct request *request, const struct command *command, int argc, char **argv,
                  const struct option *known,
                  int (*take)(void *request, int option, char *argument));

#endif
