/*
 * cprof completion: what makes a shell complete cprof's commands and options. Commands come
 * from the command's own list, options and their descriptions from each one's help: a line of
 * two spaces and a dash, with the description in column HELP_COLUMN.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "format/format.h"
#include "format/frame_type.h"
#include "profile/measures.h"

#define HELP_COLUMN 18

static const char help[] =
    "Usage: cprof completion SHELL\n"
    "\n"
    "Prints what makes bash, zsh or fish complete cprof's commands and options.\n"
    "\n"
    "  bash: eval \"$(cprof completion bash)\" in ~/.bashrc\n"
    "  zsh:  source <(cprof completion zsh) in ~/.zshrc, after compinit\n"
    "  fish: cprof completion fish > ~/.config/fish/completions/cprof.fish\n"
    "\n"
    "Example:\n"
    "  cprof completion bash > ~/.local/share/bash-completion/completions/cprof\n";

/* What an option's argument can be, where that is known. */
static const char *format_words(void);
static const char *value_words(void);
static const char *type_words(void);

static const struct {
    const char *option, *words;
    const char *(*list)(void); /* for `words`, where a table has them */
} arguments[] = {
    {"--by", "function line file module type thread stack label:", NULL},
    {"--format", NULL, format_words},
    {"--normalize", "second total none", NULL},
    {"--types", "cpu", NULL},
    {"--type", NULL, type_words},
    {"--value", NULL, value_words},
};

/* The formats that are written, with blanks between. */
static const char *format_words(void)
{
    static char words[256];
    const struct format *format;
    size_t used = 0;
    for (size_t i = 0; (format = format_at(i)) != NULL && used < sizeof(words); i++)
        if (format->write)
            used += (size_t)snprintf(words + used, sizeof(words) - used, "%s%s",
                                     used > 0 ? " " : "", format->name);
    return words;
}

/* The types of frames, with blanks between. */
static const char *type_words(void)
{
    static char words[128];
    size_t used = 0;
    for (enum cprof_frame_type type = 0; type < FRAME_TYPE_COUNT && used < sizeof(words);
         type++)
        if (*frame_type_name(type))
            used += (size_t)snprintf(words + used, sizeof(words) - used, "%s%s",
                                     used > 0 ? " " : "", frame_type_name(type));
    return words;
}

/* The values that are known. */
static const char *value_words(void)
{
    static char words[512];
    const struct measure *measure;
    size_t used = 0;
    for (size_t i = 0; (measure = measure_at(i)) != NULL && used < sizeof(words); i++)
        if (strchr(measure->type, '*') == NULL)
            used += (size_t)snprintf(words + used, sizeof(words) - used, "%s%s",
                                     used > 0 ? " " : "", measure->type);
    return words;
}

static const char *words_at(size_t argument)
{
    return arguments[argument].words ? arguments[argument].words : arguments[argument].list();
}

static const char *argument_words(const char *option, size_t length)
{
    for (size_t i = 0; i < sizeof(arguments) / sizeof(arguments[0]); i++)
        if (strlen(arguments[i].option) == length &&
            strncmp(arguments[i].option, option, length) == 0)
            return words_at(i);
    return NULL;
}

static bool takes_file(const char *option, size_t length)
{
    return (length == 2 && strncmp(option, "-o", length) == 0) ||
           (length == 13 && strncmp(option, "--source-root", length) == 0) ||
           (length == 8 && strncmp(option, "--source", length) == 0);
}

struct option_text {
    const char *name; /* with its dashes */
    size_t length;
    bool takes_argument;
    const char *description; /* of the help, up to the next option */
};

/* A visitor's part of a script for one option of one command. */
typedef void (*option_printer)(const struct command *command, const struct option_text *option);

/* One line of a help: "  --base-label K=V, --new-label K=V" or "  -n N            rows". */
static void visit_line(const struct command *command, const char *line, size_t length,
                       option_printer print)
{
    bool described = length > HELP_COLUMN && line[HELP_COLUMN - 1] == ' ';
    const char *at = line + 2, *end = line + (described ? HELP_COLUMN - 1 : length);
    while (at < end && *at == '-') {
        struct option_text option = {.name = at, .length = strcspn(at, " ,\n")};
        option.description = described ? line + HELP_COLUMN : line + length;
        at += option.length;
        option.takes_argument = at + 1 < end && *at == ' ' && at[1] != ' ';
        while (at < end && *at != ',')
            at++;
        at += at < end ? strlen(", ") : 0;
        print(command, &option);
    }
}

static void visit_options(const struct command *command, option_printer print)
{
    for (const char *line = command->help; *line; line += *line == '\n') {
        size_t length = strcspn(line, "\n");
        if (strncmp(line, "  -", 3) == 0)
            visit_line(command, line, length, print);
        line += length;
    }
}

/* The description on one line, for between single quotes; each of the characters `escaped`
 * after a backslash. */
static void print_description(const char *text, const char *escaped)
{
    for (bool first = true;; first = false) {
        size_t blanks = strspn(text, " \n");
        bool goes_on = first || (blanks > HELP_COLUMN && *text == '\n');
        if (!goes_on || !text[blanks])
            return;
        if (!first)
            putchar(' ');
        for (text += blanks; *text && *text != '\n'; text++) {
            if (strchr(escaped, *text))
                putchar('\\');
            if (*text == '\'') /* ends the quotes, stands alone, and begins them again */
                fputs("'\\'", stdout);
            putchar(*text);
        }
    }
}

/* --- bash --- */

static void bash_name(const struct command *command, const struct option_text *option)
{
    (void)command;
    printf("%.*s ", (int)option->length, option->name);
}

static void print_bash(void)
{
    puts("_cprof() {\n"
         "    local word=${COMP_WORDS[COMP_CWORD]} words=\n"
         "    COMPREPLY=()\n"
         "    case $COMP_CWORD:${COMP_WORDS[COMP_CWORD-1]} in");
    fputs("    1:*) words=\"", stdout);
    for (size_t i = 0; i < commands.count; i++)
        printf("%s ", commands.all[i]->name);
    puts("--help --version\" ;;");
    for (size_t i = 0; i < sizeof(arguments) / sizeof(arguments[0]); i++)
        printf("    *:%s) words=\"%s\" ;;\n", arguments[i].option, words_at(i));
    puts("    2:completion) words=\"bash zsh fish --help\" ;;\n"
         "    *) case $word:${COMP_WORDS[1]} in");
    for (size_t i = 0; i < commands.count; i++) {
        printf("        -*:%s) words=\"", commands.all[i]->name);
        visit_options(commands.all[i], bash_name);
        puts("--help\" ;;");
    }
    puts("        esac ;;\n"
         "    esac\n"
         "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
         "}\n"
         "complete -o default -F _cprof cprof");
}

/* --- zsh --- */

static void zsh_option(const struct command *command, const struct option_text *option)
{
    const char *words = argument_words(option->name, option->length);
    (void)command;
    printf(" \\\n        '%.*s[", (int)option->length, option->name);
    print_description(option->description, "[]:");
    putchar(']');
    if (option->takes_argument && words)
        printf(":value:(%s)", words);
    else if (option->takes_argument)
        fputs(takes_file(option->name, option->length) ? ":file:_files" : ":value: ", stdout);
    putchar('\'');
}

static void print_zsh(void)
{
    puts("#compdef cprof\n"
         "_cprof() {\n"
         "    local -a commands\n"
         "    commands=(");
    for (size_t i = 0; i < commands.count; i++) {
        printf("        '%s:", commands.all[i]->name);
        print_description(commands.all[i]->summary, "");
        puts("'");
    }
    puts("    )\n"
         "    if (( CURRENT == 2 )); then\n"
         "        _describe command commands\n"
         "        return\n"
         "    fi\n"
         "    shift words\n"
         "    (( CURRENT-- ))\n"
         "    case $words[1] in");
    for (size_t i = 0; i < commands.count; i++) {
        printf("    %s) _arguments", commands.all[i]->name);
        visit_options(commands.all[i], zsh_option);
        puts(commands.all[i] == &command_completion ? " '*:shell:(bash zsh fish)' ;;"
             : commands.all[i]->runs_program        ? " '*::command:_normal' ;;"
             : commands.all[i]->asks_process        ? " '*:process:_pids' ;;"
                                                    : " '*:file:_files' ;;");
    }
    puts("    esac\n"
         "}\n"
         "if [[ $funcstack[1] == _cprof ]]; then\n"
         "    _cprof \"$@\"\n"
         "else\n"
         "    compdef _cprof cprof\n"
         "fi");
}

/* --- fish --- */

static void fish_option(const struct command *command, const struct option_text *option)
{
    bool is_long = option->length > 2;
    int dashes = is_long ? 2 : 1;
    const char *words = argument_words(option->name, option->length);
    printf("complete -c cprof -n '__fish_seen_subcommand_from %s' %s %.*s", command->name,
           is_long ? "-l" : "-s", (int)option->length - dashes, option->name + dashes);
    if (option->takes_argument && words)
        printf(" -x -a '%s'", words);
    else if (option->takes_argument)
        fputs(takes_file(option->name, option->length) ? " -r" : " -x", stdout);
    fputs(" -d '", stdout);
    print_description(option->description, "");
    puts("'");
}

static void print_fish(void)
{
    for (size_t i = 0; i < commands.count; i++) {
        printf("complete -c cprof -n __fish_use_subcommand -f -a %s -d '",
               commands.all[i]->name);
        print_description(commands.all[i]->summary, "");
        puts("'");
        visit_options(commands.all[i], fish_option);
    }
    puts("complete -c cprof -n '__fish_seen_subcommand_from completion' -f -a 'bash zsh fish'");
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {{0}};
    static const struct {
        const char *name;
        void (*print)(void);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    int status = parse_options(&command_completion, argc, argv, "", known, NULL, NULL);
    if (status != GO_ON)
        return status;
    if (argc - optind != 1)
        return wrong_usage(&command_completion, "which shell: bash, zsh or fish?");
    for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++) {
        if (strcmp(shells[i].name, argv[optind]) == 0) {
            shells[i].print();
            return EXIT_DONE;
        }
    }
    return wrong_usage(&command_completion, "knows bash, zsh and fish, not \"%s\"",
                       argv[optind]);
}

const struct command command_completion = {
    .name = "completion",
    .summary = "makes a shell complete commands and options",
    .help = help,
    .run = run,
};
