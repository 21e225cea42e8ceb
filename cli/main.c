/* The cprof command: finds the subcommand and hands over. */
#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "progress.h"
#include "terminal.h"

const struct command *const commands[] = {
    &command_run,     &command_top,   &command_flame, &command_diff,
    &command_convert, &command_merge, &command_spans, &command_completion,
};

const size_t command_count = sizeof(commands) / sizeof(commands[0]);

/* Messages quote files and arguments: they are a line, and do not talk to the terminal. */
static void print_message(const char *format, va_list arguments)
{
    char text[1024];
    const struct terminal terminal = terminal_of(stderr);
    vsnprintf(text, sizeof(text), format, arguments);
    terminal_print(&terminal, STYLE_PLAIN, text, strlen(text), TERMINAL_ENDLESS, CUT_END,
                   false);
}

int fail(const char *format, ...)
{
    va_list arguments;
    progress_clear();
    va_start(arguments, format);
    fputs("cprof: ", stderr);
    print_message(format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return EXIT_FAILED;
}

int wrong_usage(const struct command *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "cprof %s: ", command->name);
    print_message(format, arguments);
    fprintf(stderr, " (see cprof %s --help)\n", command->name);
    va_end(arguments);
    return EXIT_USAGE;
}

int parse_options(const struct command *command, int argc, char **argv, const char *letters,
                  const struct option *known,
                  int (*take)(void *closure, int option, char *argument), void *closure)
{
    char name[32];
    snprintf(name, sizeof(name), "cprof %s", command->name);
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(command->help, stdout);
        return EXIT_DONE;
    }
    argv[0] = name; /* getopt_long() begins its messages with it */
    int status = GO_ON, option;
    while (status == GO_ON && (option = getopt_long(argc, argv, letters, known, NULL)) != -1)
        status = option == '?' ? EXIT_USAGE : take(closure, option, optarg);
    argv[0] = (char *)command->name;
    return status;
}

int parse_number(const struct command *command, const char *option, const char *argument,
                 unsigned long least, unsigned long most, unsigned long *number)
{
    char *end;
    errno = 0;
    *number = strtoul(argument, &end, 10);
    if (!errno && end != argument && !*end && *argument != '-' && *number >= least &&
        *number <= most)
        return GO_ON;
    if (most == ULONG_MAX)
        return wrong_usage(command, "%s needs a number from %lu, not \"%s\"", option, least,
                           argument);
    return wrong_usage(command, "%s needs a number from %lu to %lu, not \"%s\"", option, least,
                       most, argument);
}

static void print_help(void)
{
    puts("Profiles Python, Ruby and Node programs, and reads their profiles.\n"
         "\n"
         "Usage: cprof COMMAND [OPTIONS]\n"
         "\n"
         "Commands:");
    for (size_t i = 0; i < command_count; i++)
        printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
    puts(
        "\n"
        "cprof COMMAND --help tells more. Files are known by their endings: .pb.gz and .pprof\n"
        "(pprof), .otlp, .collapsed, .folded and .txt (a;b;c 5), .speedscope.json, .html;\n"
        "\"-\" is standard input.\n"
        "\n"
        "Example:\n"
        "  cprof run -o profile.html -- python3 app.py");
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < command_count; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

/* What goes to a full disk or a closed pipe is an error like any other. */
static int close_output(int status)
{
    progress_end();
    if ((ferror(stdout) || fflush(stdout)) && status == EXIT_DONE)
        return fail("cannot write to standard output");
    return status;
}

int main(int argc, char **argv)
{
    /* Names are UTF-8 whatever the user's locale is; nothing else of it is wanted. */
    setlocale(LC_CTYPE, "C.UTF-8");
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--version") == 0) {
        puts("cprof " CPROF_VERSION);
        return close_output(EXIT_DONE);
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help();
        return close_output(EXIT_DONE);
    }
    const struct command *command = find_command(name);
    if (!command) {
        fprintf(stderr,
                *name ? "cprof: there is no command \"%s\" (see cprof --help)\n"
                      : "cprof: which command? (see cprof --help)%s\n",
                name);
        return EXIT_USAGE;
    }
    return close_output(command->run(argc - 1, argv + 1));
}
