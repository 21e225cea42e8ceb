/*
 * The options that every reading command takes, and the profile that they and the files on the
 * command line make.
 */
#ifndef CPROF_CLI_SELECTION_H
#define CPROF_CLI_SELECTION_H

#include <stdbool.h>
#include <stddef.h>

#include "command.h"
#include "history.h"
#include "load.h"
#include "output.h"
#include "profile/combine.h"
#include "profile/view.h"
#include "symbolize.h"

/* What getopt_long() returns for them; a command's own are letters or from OPTION_OWN on. */
enum selection_option {
    OPTION_SPAN = 256,
    OPTION_TRACE,
    OPTION_LABEL,
    OPTION_STATE,
    OPTION_REASON,
    OPTION_THREAD,
    OPTION_TYPE,
    OPTION_VALUE,
    OPTION_BINARY,
    OPTION_VIEW, /* and one for each rule of profile/view.h */
    OPTION_VIEW_END = OPTION_VIEW + VIEW_RULES,
    OPTION_CUM, /* of request.h */
    OPTION_BY,
    OPTION_JSON,
    OPTION_CSV,
    OPTION_ALL_NATIVE,
    OPTION_FORMAT,     /* of output.h */
    OPTION_SOURCE_URL, /* of page.h */
    OPTION_SOURCE_ROOT,
    OPTION_SOURCE_FOLDER,
    OPTION_NO_SOURCE,
    OPTION_OWN,
};

/* For a command's array of struct option. */
#define SELECTION_OPTIONS                                                                      \
    {"span", required_argument, NULL, OPTION_SPAN},                                            \
        {"trace", required_argument, NULL, OPTION_TRACE},                                      \
        {"label", required_argument, NULL, OPTION_LABEL},                                      \
        {"state", required_argument, NULL, OPTION_STATE},                                      \
        {"reason", required_argument, NULL, OPTION_REASON},                                    \
        {"thread", required_argument, NULL, OPTION_THREAD},                                    \
        {"type", required_argument, NULL, OPTION_TYPE},                                        \
        {"value", required_argument, NULL, OPTION_VALUE},                                      \
        {"focus", required_argument, NULL, OPTION_VIEW + VIEW_FOCUS},                          \
        {"ignore", required_argument, NULL, OPTION_VIEW + VIEW_IGNORE},                        \
        {"hide", required_argument, NULL, OPTION_VIEW + VIEW_HIDE},                            \
        {"show", required_argument, NULL, OPTION_VIEW + VIEW_SHOW},                            \
        {"prune-from", required_argument, NULL, OPTION_VIEW + VIEW_PRUNE_FROM},                \
    {                                                                                          \
        "binary", required_argument, NULL, OPTION_BINARY                                       \
    }

#define SELECTION_HELP                                                                         \
    "  --span ID       only samples of this span (16 hex digits)\n"                            \
    "  --trace ID      only samples of this trace (32 hex digits)\n"                           \
    "  --label K=V     only samples with this label; given again, with all of them\n"          \
    "  --state NAME    only samples of threads that were running, runnable or waiting\n"       \
    "  --reason NAME   only samples that waited for io, lock, gil, gvl, sleep, idle, …\n"    \
    "  --thread NAME   only samples of threads with this name\n"                               \
    "  --value NAME    the value to look at: cpu, samples, wall, …\n"                        \
    "  --type NAME     only frames of this type: cpython, ruby, v8js, native, kernel\n"        \
    "  --focus REGEX   only samples with a frame whose function, file or module matches;\n"    \
    "                  module:REGEX and type:REGEX (name:, file:) are about that alone.\n"     \
    "                  Given again, any may match; so with the next four\n"                    \
    "  --ignore REGEX  no samples with such a frame\n"                                         \
    "  --hide REGEX    without such frames; what they took counts to their callers\n"          \
    "  --show REGEX    only such frames\n"                                                     \
    "  --prune-from REGEX\n"                                                                   \
    "                  without what functions of that name call\n"                             \
    "  --binary PATH   names for code without any: its file, or a folder of debug files by\n"  \
    "                  build id; may be given again\n"

struct selection {
    struct profile_filter filter;
    enum load_keep keep; /* of when things were */
    const char *value;   /* NULL = the profile's own default */
    const char *type;    /* of frames, or a value's name, as which it went once; NULL = none */
    struct view view;
    char span[17], trace[33];
    struct symbolize symbolize;
    struct history history; /* in the place of files, where it has a folder */
};

/* Takes one option that getopt_long() returned; a --label's argument is split where it lies.
 * GO_ON, or EXIT_USAGE after having said why. */
int selection_take(struct selection *selection, const struct command *command, int option,
                   char *argument);

/* Is there something to read: so many files, or else a store? GO_ON, or EXIT_USAGE after having
 * said why not. */
int selection_check(const struct selection *selection, const struct command *command,
                    int files);

/* Reads and merges the files, or what the store has, keeps what is selected, and makes --value
 * the default. NULL after having said why. The caller frees. */
struct profile *selection_load(const struct selection *selection, char *const *paths,
                               size_t count);

/* The same of a profile that has been read, which it frees. */
struct profile *selection_apply(const struct selection *selection, struct profile *profile);

/* The same and to a file: what convert and merge do. Returns the exit code. */
int selection_write(const struct selection *selection, char *const *paths, size_t count,
                    const struct output *output);

#endif
