/*
 * The options that every reading command takes, and the profile that they and the files on the
 * command line make.
 */
#ifndef CPROF_CLI_SELECTION_H
#define CPROF_CLI_SELECTION_H

#include <stdbool.h>
#include <stddef.h>

#include "command.h"
#include "profile/combine.h"

/* What getopt_long() returns for them; a command's own are letters or from OPTION_OWN on. */
enum selection_option {
    OPTION_SPAN = 256,
    OPTION_TRACE,
    OPTION_LABEL,
    OPTION_THREAD,
    OPTION_TYPE,
    OPTION_CUM, /* of request.h */
    OPTION_BY,
    OPTION_JSON,
    OPTION_SOURCE_URL, /* of page.h */
    OPTION_SOURCE_ROOT,
    OPTION_OWN,
};

/* For a command's array of struct option. */
#define SELECTION_OPTIONS                                                                      \
    {"span", required_argument, NULL, OPTION_SPAN},                                            \
        {"trace", required_argument, NULL, OPTION_TRACE},                                      \
        {"label", required_argument, NULL, OPTION_LABEL},                                      \
        {"thread", required_argument, NULL, OPTION_THREAD},                                    \
    {                                                                                          \
        "type", required_argument, NULL, OPTION_TYPE                                           \
    }

#define SELECTION_HELP                                                                         \
    "  --span ID       only samples of this span (16 hex digits)\n"                            \
    "  --trace ID      only samples of this trace (32 hex digits)\n"                           \
    "  --label K=V     only samples with this label\n"                                         \
    "  --thread NAME   only samples of threads with this name\n"                               \
    "  --type NAME     the value to look at: cpu, samples, wall, …\n"

struct selection {
    struct profile_filter filter;
    bool intervals;   /* what each file covers is kept apart, as load.h tells */
    const char *type; /* NULL = the profile's own default */
    char span[17], trace[33];
};

/* Takes one option that getopt_long() returned; a --label's argument is split where it lies.
 * GO_ON, or EXIT_USAGE after having said why. */
int selection_take(struct selection *selection, const struct command *command, int option,
                   char *argument);

/* Reads and merges the files, keeps what is selected, and makes --type the default value.
 * NULL after having said why. The caller frees. */
struct profile *selection_load(const struct selection *selection, char *const *paths,
                               size_t count);

/* The same of a profile that has been read, which it frees. */
struct profile *selection_apply(const struct selection *selection, struct profile *profile);

/* The same and to a file: what flame, convert and merge do. Returns the exit code. */
int selection_write(const struct selection *selection, char *const *paths, size_t count,
                    const char *output);

#endif
