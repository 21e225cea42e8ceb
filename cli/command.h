/*
 * The commands: one file each, cmd_NAME.c, listed in main.c, and what they have in common. A
 * command gets its own arguments (argv[0] is its name) and returns the exit code. No command
 * knows of another.
 *
 * Everything that a command says when it fails is one line on standard error.
 */
#ifndef CPROF_CLI_COMMAND_H
#define CPROF_CLI_COMMAND_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>

enum exit_code { EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_GREW };

#define GO_ON (-1) /* instead of an exit code: the command has more to do */

struct command {
    const char *name;
    const char *summary; /* for the list of commands */
    const char *help;    /* what --help prints, with an example */
    int (*run)(int argc, char **argv);
    bool runs_program; /* its operands are another program's command line */
    bool asks_process; /* its operand is a running process */
};

extern const struct command command_run, command_top, command_flame, command_convert,
    command_merge, command_diff, command_spans, command_peek, command_list, command_tags,
    command_query, command_watch, command_leaks, command_advise, command_serve,
    command_completion;

/* Of running processes. */
extern const struct command command_ps, command_start, command_stop, command_record,
    command_dump, command_live, command_attach;

/* All of them, in the order in which people read them; main() says which there are. */
extern struct command_list {
    const struct command *const *all;
    size_t count;
} commands;

/* "cprof: …" on standard error; returns EXIT_FAILED. */
int fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What fail() said last, without "cprof: ", for a page that has to say it as well. */
#define FAILURE_SIZE 1024
void last_failure(char text[FAILURE_SIZE]);

/* "cprof top: … (see cprof top --help)"; returns EXIT_USAGE. */
int wrong_usage(const struct command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Prints what --help does; returns EXIT_DONE. */
int print_command_help(const struct command *command);

/* Parses the options with getopt_long() and gives each to `take`, which returns GO_ON or an
 * exit code. --help is seen to here. Returns GO_ON with `optind` at the first operand, or the
 * exit code to end with. */
int parse_options(const struct command *command, int argc, char **argv, const char *letters,
                  const struct option *known,
                  int (*take)(void *closure, int option, char *argument), void *closure);

/* A whole number from `least` to `most`; anything else is wrong usage of `option`. GO_ON or
 * EXIT_USAGE. */
int parse_number(const struct command *command, const char *option, const char *argument,
                 unsigned long least, unsigned long most, unsigned long *number);

#endif
