/* The cprof command: finds the subcommand and hands over. */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "progress.h"

static const struct command *const all[] = {
    &command_run,    &command_ps,      &command_start,      &command_stop,  &command_record,
    &command_dump,   &command_live,    &command_attach,     &command_top,   &command_flame,
    &command_diff,   &command_convert, &command_merge,      &command_spans, &command_peek,
    &command_list,   &command_tags,    &command_query,      &command_watch, &command_leaks,
    &command_advise, &command_serve,   &command_completion,
};

static void print_help(void)
{
    puts("Profiles Python, Ruby and Node programs, and reads their profiles.\n"
         "\n"
         "Usage: cprof COMMAND [OPTIONS]\n"
         "\n"
         "Commands:");
    for (size_t i = 0; i < commands.count; i++)
        printf("  %-10s %s\n", commands.all[i]->name, commands.all[i]->summary);
    puts("\n"
         "cprof help COMMAND tells more. Files are known by their endings: .pb.gz and .pprof\n"
         "(pprof), .otlp, .collapsed, .folded and .txt (a;b;c 5), .speedscope.json, .html,\n"
         ".cpuprofile, .firefox.json, .callgrind, .pstats; others that are read by their "
         "bytes;\n"
         "\"-\" is standard input, or output; a URL is a running program's profile.\n"
         "\n"
         "Example:\n"
         "  cprof run -o profile.html -- python3 app.py");
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < commands.count; i++)
        if (strcmp(commands.all[i]->name, name) == 0)
            return commands.all[i];
    return NULL;
}

static volatile sig_atomic_t pipe_closed;

static void note_closed_pipe(int signal_number)
{
    (void)signal_number;
    pipe_closed = 1;
}

/* Who reads standard output may have enough, as head does: that is no failure, and files are
 * written all the same. The programs of `run` inherit what we were started with. */
static void survive_closed_pipes(const struct command *command)
{
    const struct sigaction note = {.sa_handler = note_closed_pipe, .sa_flags = SA_RESTART};
    if (!command || !command->runs_program)
        sigaction(SIGPIPE, &note, NULL);
}

/* What goes to a full disk is an error like any other. */
static int close_output(int status)
{
    progress_end();
    errno = 0;
    bool failed = fflush(stdout) || ferror(stdout);
    if (failed && !pipe_closed && errno != EPIPE && status == EXIT_DONE)
        return fail("cannot write to standard output");
    return status;
}

static int unknown_command(const char *name)
{
    fprintf(stderr,
            *name ? "cprof: there is no command \"%s\" (see cprof --help)\n"
                  : "cprof: which command? (see cprof --help)%s\n",
            name);
    return EXIT_USAGE;
}

/* "cprof help" and "cprof help COMMAND" */
static int help_with(const char *name)
{
    const struct command *command = name ? find_command(name) : NULL;
    if (command)
        return print_command_help(command);
    if (name)
        return unknown_command(name);
    print_help();
    return EXIT_DONE;
}

int main(int argc, char **argv)
{
    /* Names are UTF-8 whatever the user's locale is; nothing else of it is wanted. */
    setlocale(LC_CTYPE, "C.UTF-8");
    commands = (struct command_list){all, sizeof(all) / sizeof(all[0])};
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--version") == 0) {
        puts("cprof " CPROF_VERSION);
        return close_output(EXIT_DONE);
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
        return close_output(help_with(argv[2]));
    const struct command *command = find_command(name);
    survive_closed_pipes(command);
    if (!command)
        return unknown_command(name);
    return close_output(command->run(argc - 1, argv + 1));
}
