#include "autostart.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/note.h"

enum language { LANGUAGE_OTHER, LANGUAGE_PYTHON, LANGUAGE_RUBY, LANGUAGE_NODE };

/* Finds a program as execvp() does. 0 or -ENOENT. */
static int find_program(const char *name, char path[PATH_MAX])
{
    if (strchr(name, '/'))
        return access(name, X_OK) == 0 && snprintf(path, PATH_MAX, "%s", name) < PATH_MAX
                   ? 0
                   : -ENOENT;
    const char *folders = getenv("PATH");
    for (const char *at = folders ? folders : "/usr/local/bin:/usr/bin:/bin"; *at;) {
        size_t length = strcspn(at, ":");
        int size = snprintf(path, PATH_MAX, "%.*s/%s", (int)length, at, name);
        if (size < PATH_MAX && access(path, X_OK) == 0)
            return 0;
        at += length + (at[length] == ':');
    }
    return -ENOENT;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static enum language language_of(const char *path)
{
    const char *name = base_name(path);
    if (strncmp(name, "python", 6) == 0)
        return LANGUAGE_PYTHON;
    if (strncmp(name, "ruby", 4) == 0)
        return LANGUAGE_RUBY;
    return strcmp(name, "node") == 0 || strcmp(name, "nodejs") == 0 ? LANGUAGE_NODE
                                                                    : LANGUAGE_OTHER;
}

/* The interpreter of a script's first line, looking through "/usr/bin/env NAME". */
static int read_shebang(const char *path, char interpreter[PATH_MAX])
{
    char line[PATH_MAX + 64] = "";
    FILE *file = fopen(path, "re");
    if (!file)
        return -errno;
    char *got = fgets(line, sizeof(line), file);
    fclose(file);
    if (!got || strncmp(line, "#!", 2) != 0)
        return -ENOEXEC;
    char *rest = NULL, *word = strtok_r(line + 2, " \t\n", &rest);
    if (word && strcmp(base_name(word), "env") == 0) {
        word = strtok_r(NULL, " \t\n", &rest);
        if (word && strcmp(word, "-S") == 0)
            word = strtok_r(NULL, " \t\n", &rest);
    }
    return word ? find_program(word, interpreter) : -ENOEXEC;
}

/* The interpreter that will run a program, and its language. */
static enum language find_interpreter(const char *program, char interpreter[PATH_MAX])
{
    char script[PATH_MAX];
    if (find_program(program, interpreter))
        return LANGUAGE_OTHER;
    enum language language = language_of(interpreter);
    snprintf(script, sizeof(script), "%s", interpreter);
    if (language != LANGUAGE_OTHER || read_shebang(script, interpreter))
        return language;
    return language_of(interpreter);
}

static int append_variable(const char *name, char separator, const char *addition)
{
    const char *old = getenv(name);
    char *text;
    int length = old && *old ? asprintf(&text, "%s%c%s", old, separator, addition)
                             : asprintf(&text, "%s", addition);
    if (length < 0)
        return -ENOMEM;
    int status = setenv(name, text, 1) < 0 ? -errno : 0;
    free(text);
    return status;
}

#define RUBY_AUTO "/cprof/auto.rb"

/* RUBYOPT splits at spaces and knows no quotes: where the path has one, RUBYLIB says it, which
 * splits at colons. */
static int load_in_ruby(char path[PATH_MAX])
{
    char option[PATH_MAX + 2];
    if (strpbrk(path, " \t") == NULL) {
        snprintf(option, sizeof(option), "-r%s", path);
        return append_variable("RUBYOPT", ' ', option);
    }
    path[strlen(path) - strlen(RUBY_AUTO)] = '\0';
    if (strchr(path, ':'))
        return 0;
    int status = append_variable("RUBYLIB", ':', path);
    return status ? status : append_variable("RUBYOPT", ' ', "-rcprof/auto");
}

static int prepare_ruby(char *interpreter)
{
    char answer[PATH_MAX];
    char *const ask[] = {interpreter, "-rcprof/auto", "-e",
                         "print $LOADED_FEATURES.grep(/\\/cprof\\/auto\\.rb\\z/).first", NULL};
    if (child_ask(ask, answer, sizeof(answer)) || strlen(answer) <= strlen(RUBY_AUTO))
        return 0;
    return load_in_ruby(answer);
}

/* Where that Node finds cprof from here; else in the package that this command came with, which
 * says so in CPROF_NODE_AUTO (npx runs it from any folder). */
static bool find_node_package(char *interpreter, char *answer, size_t size)
{
    char *const ask[] = {interpreter, "-p",
                         "let p; try { p = require.resolve('cprof/auto') } catch {"
                         " p = require.resolve(process.env.CPROF_NODE_AUTO) }; p",
                         NULL};
    return child_ask(ask, answer, size) == 0 && *answer;
}

static int prepare_node(char *interpreter)
{
    char answer[PATH_MAX], option[2 * PATH_MAX + 16] = "--require \"";
    if (!find_node_package(interpreter, answer, sizeof(answer)))
        return 0;
    size_t out = strlen(option);
    for (const char *in = answer; *in; in++) {
        if (*in == '"' || *in == '\\')
            option[out++] = '\\';
        option[out++] = *in;
    }
    option[out++] = '"';
    option[out] = '\0';
    return append_variable("NODE_OPTIONS", ' ', option);
}

/* A shell script or a build tool may start anything: ask both, where there are such. */
static int prepare_languages(const char *program)
{
    char interpreter[PATH_MAX];
    enum language language = find_interpreter(program, interpreter);
    int status = 0;
    if (language == LANGUAGE_RUBY ||
        (language == LANGUAGE_OTHER && find_program("ruby", interpreter) == 0))
        status = prepare_ruby(interpreter);
    if (!status && (language == LANGUAGE_NODE ||
                    (language == LANGUAGE_OTHER && find_program("node", interpreter) == 0)))
        status = prepare_node(interpreter);
    return status;
}

int autostart_prepare(const struct autostart *start)
{
    /* Many processes write here, and one process can be several programs in a row (exec): the
     * pid, the time and the number tell their profiles apart. A file for each interval, and a
     * short one, so that a process that is killed leaves what it had. */
    char output[PATH_MAX];
    int length = snprintf(output, sizeof(output), "%s/%%p-%%t-%%n.pb.gz", start->directory);
    if (length >= (int)sizeof(output))
        return -ENAMETOOLONG;
    setenv("CPROF_ENABLED", "0", 1); /* not for the interpreters that are asked */
    int status = prepare_languages(start->program);
    const struct {
        const char *name, *value;
    } variables[] = {
        {"CPROF_ENABLED", "1"},
        {"CPROF_EXPORTER", "file"},
        {"CPROF_OUTPUT", output},
        {NOTE_VARIABLE, start->directory},
        {"CPROF_RATE", start->rate},
        {"CPROF_TYPES", start->types},
        {"CPROF_INTERVAL", getenv("CPROF_INTERVAL") ? NULL : "1"},
    };
    for (size_t i = 0; !status && i < sizeof(variables) / sizeof(variables[0]); i++)
        if (variables[i].value && setenv(variables[i].name, variables[i].value, 1) < 0)
            status = -errno;
    return status;
}

/* --- why there is no profile --- */

static void explain_missing(enum language language, const char *interpreter, char *reason,
                            size_t size)
{
    switch (language) {
    case LANGUAGE_PYTHON:
        snprintf(reason, size, "%s has no cprof: %s -m pip install cprof", interpreter,
                 interpreter);
        return;
    case LANGUAGE_RUBY:
        snprintf(reason, size, "%s has no cprof: gem install cprof", interpreter);
        return;
    case LANGUAGE_NODE:
        snprintf(reason, size, "%s finds no cprof from here: npm install cprof", interpreter);
        return;
    default:
        snprintf(reason, size, "no Python, Ruby or Node with cprof in it ran");
        return;
    }
}

static bool has_cprof(enum language language, char *interpreter)
{
    char answer[PATH_MAX];
    char *const python[] = {interpreter, "-c", "import cprof", NULL};
    char *const ruby[] = {interpreter, "-rcprof", "-e", "0", NULL};
    setenv("CPROF_ENABLED", "0", 1);
    switch (language) {
    case LANGUAGE_PYTHON:
        return child_ask(python, answer, sizeof(answer)) == 0;
    case LANGUAGE_RUBY:
        return child_ask(ruby, answer, sizeof(answer)) == 0;
    case LANGUAGE_NODE:
        return find_node_package(interpreter, answer, sizeof(answer));
    default:
        return false;
    }
}

/* cprof started nowhere, and nothing was noted. */
static void explain_absence(const struct autostart *start, char *reason, size_t size)
{
    char interpreter[PATH_MAX];
    enum language language = find_interpreter(start->program, interpreter);
    if (!has_cprof(language, interpreter))
        explain_missing(language, interpreter, reason, size);
    else
        snprintf(
            reason, size,
            "%s has cprof, but did not start it: an option (python -S, -E, -I; ruby "
            "--disable-gems) or an emptied environment keeps it out, or what it says above",
            interpreter);
}

void autostart_explain(const struct autostart *start, const struct child_end *end,
                       const struct notes *notes, char *reason, size_t size)
{
    double rate = start->rate ? atof(start->rate) : 100;
    if (notes->processes == 0)
        explain_absence(start, reason, size);
    else if (notes->refused[0])
        snprintf(reason, size, "cprof did not start: %s", notes->refused);
    else if (notes->samples > 0)
        snprintf(reason, size, "its %llu samples could not be written to %s",
                 (unsigned long long)notes->samples, start->directory);
    else if (notes->unsampled > 0)
        snprintf(reason, size,
                 "no timer was to be had: the limit of pending signals (ulimit -i) is spent");
    else if (notes->unended == 0)
        snprintf(
            reason, size,
            "it ended before a sample was due, after %.3f s of CPU, the interpreter's start "
            "included, at %.0f samples a second",
            (double)end->cpu_ns / 1e9, rate);
    else
        snprintf(reason, size,
                 "nothing was written before it was killed, left by os._exit or became another "
                 "program, unless it may not write to %s any more",
                 start->directory);
}
