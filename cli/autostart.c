#include "autostart.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static int append_variable(const char *name, const char *addition)
{
    const char *old = getenv(name);
    char *text;
    if (asprintf(&text, old && *old ? "%s %s" : "%s%s", old ? old : "", addition) < 0)
        return -ENOMEM;
    int status = setenv(name, text, 1) < 0 ? -errno : 0;
    free(text);
    return status;
}

/* RUBYOPT splits at spaces and knows no quotes: a path with one cannot be given. */
static int prepare_ruby(char *interpreter)
{
    char answer[PATH_MAX], option[PATH_MAX + 2];
    char *const ask[] = {interpreter, "-rcprof/auto", "-e",
                         "print $LOADED_FEATURES.grep(/\\/cprof\\/auto\\.rb\\z/).first", NULL};
    if (child_ask(ask, answer, sizeof(answer)) || !*answer || strpbrk(answer, " \t"))
        return 0;
    snprintf(option, sizeof(option), "-r%s", answer);
    return append_variable("RUBYOPT", option);
}

static int prepare_node(char *interpreter)
{
    char answer[PATH_MAX], option[2 * PATH_MAX + 16] = "--require \"";
    char *const ask[] = {interpreter, "-p", "require.resolve('cprof/auto')", NULL};
    if (child_ask(ask, answer, sizeof(answer)) || !*answer)
        return 0;
    size_t out = strlen(option);
    for (const char *in = answer; *in; in++) {
        if (*in == '"' || *in == '\\')
            option[out++] = '\\';
        option[out++] = *in;
    }
    option[out++] = '"';
    option[out] = '\0';
    return append_variable("NODE_OPTIONS", option);
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

#define FEW_SAMPLES                                                                            \
    3 /* a program that should have had more samples than this has no excuse                   \
       */

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
    char *const node[] = {interpreter, "-e", "require.resolve('cprof/auto')", NULL};
    setenv("CPROF_ENABLED", "0", 1);
    switch (language) {
    case LANGUAGE_PYTHON:
        return child_ask(python, answer, sizeof(answer)) == 0;
    case LANGUAGE_RUBY:
        return child_ask(ruby, answer, sizeof(answer)) == 0;
    case LANGUAGE_NODE:
        return child_ask(node, answer, sizeof(answer)) == 0;
    default:
        return false;
    }
}

void autostart_explain(const struct autostart *start, const struct child_end *end, char *reason,
                       size_t size)
{
    char interpreter[PATH_MAX];
    enum language language = find_interpreter(start->program, interpreter);
    double seconds = (double)end->cpu_ns / 1e9;
    double rate = start->rate ? atof(start->rate) : 100;
    if (!has_cprof(language, interpreter))
        explain_missing(language, interpreter, reason, size);
    else if (seconds * rate < FEW_SAMPLES)
        snprintf(reason, size, "the program used only %.3f s of CPU, at %.0f samples a second",
                 seconds, rate);
    else
        snprintf(reason, size, "cprof did not start in %s: CPROF_LOG=debug tells more",
                 interpreter);
}
