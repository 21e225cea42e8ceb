/*
 * Where a command writes what it makes: a file, whose ending picks the format, or standard
 * output, which has no ending, so that --format must.
 */
#ifndef CPROF_CLI_OUTPUT_H
#define CPROF_CLI_OUTPUT_H

#include <stdbool.h>

#include "command.h"
#include "format/format.h"

struct output {
    const char *path;            /* "-": standard output */
    const struct format *format; /* NULL: the path's ending tells */
};

/* For a command's array of struct option, and its help. */
#define OUTPUT_FORMAT_OPTION                                                                   \
    {                                                                                          \
        "format", required_argument, NULL, OPTION_FORMAT                                       \
    }
#define OUTPUT_FORMAT_HELP                                                                     \
    "  --format NAME   pprof, otlp, collapsed, speedscope, html, cpuprofile, firefox,\n"       \
    "                  callgrind, pstats or block, whatever the name of OUT ends in; needed\n" \
    "                  when that is \"-\", standard output\n"

/* Takes the argument of --format. GO_ON, or EXIT_USAGE after having said why. */
int output_take_format(struct output *output, const struct command *command,
                       const char *argument);

/* To be called when all options are known: settles the format. As above. */
int output_settle(struct output *output, const struct command *command);

/* "-" and the names that the system has for standard output. */
bool output_is_standard(const char *path);

/* Writes what has been made with `status`, 0 or -errno, and frees it. What already is no file,
 * a pipe or a device, is written to; a file is replaced as format.h says. Returns the exit
 * code. */
int output_write(const char *path, struct buffer *content, int status);

#endif
