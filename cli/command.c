#include "command.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "progress.h"
#include "terminal.h"

#define MOST_OPTIONS 32 /* of one command */

struct command_list commands;

static pthread_mutex_t failure_lock = PTHREAD_MUTEX_INITIALIZER; /* readers are threads */
static char failure[FAILURE_SIZE];

static void keep(const char *text)
{
    pthread_mutex_lock(&failure_lock);
    snprintf(failure, sizeof(failure), "%s", text);
    pthread_mutex_unlock(&failure_lock);
}

void last_failure(char text[FAILURE_SIZE])
{
    pthread_mutex_lock(&failure_lock);
    memcpy(text, failure, FAILURE_SIZE);
    pthread_mutex_unlock(&failure_lock);
}

/* Messages quote files and arguments: they are a line, and do not talk to the terminal. */
static void print_message(const char *format, va_list arguments)
{
    char text[FAILURE_SIZE];
    const struct terminal terminal = terminal_of(stderr);
    /* clang-tidy 14 takes it for uninitialized when it is given other files before this one. */
    vsnprintf(text, sizeof(text), format, /* NOLINT(clang-analyzer-valist.Uninitialized) */
              arguments);
    keep(text);
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

int print_command_help(const struct command *command)
{
    fputs(command->help, stdout);
    return EXIT_DONE;
}

int parse_options(const struct command *command, int argc, char **argv, const char *letters,
                  const struct option *known,
                  int (*take)(void *closure, int option, char *argument), void *closure)
{
    char name[32], all_letters[16];
    struct option all[MOST_OPTIONS + 2] = {{"help", no_argument, NULL, 'h'}};
    snprintf(name, sizeof(name), "cprof %s", command->name);
    snprintf(all_letters, sizeof(all_letters), "%sh", letters);
    for (size_t i = 0; i < MOST_OPTIONS && known[i].name; i++)
        all[i + 1] = known[i];
    argv[0] = name; /* getopt_long() begins its messages with it */
    int status = GO_ON, option;
    while (status == GO_ON && (option = getopt_long(argc, argv, all_letters, all, NULL)) != -1)
        status = option == 'h'   ? print_command_help(command)
                 : option == '?' ? EXIT_USAGE
                                 : take(closure, option, optarg);
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
