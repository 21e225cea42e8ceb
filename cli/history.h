/*
 * Profiles from a store (CPROF_STORE_DIR) in the place of files: which folder, which service,
 * which time; and their sum.
 */
#ifndef CPROF_CLI_HISTORY_H
#define CPROF_CLI_HISTORY_H

#include <stdbool.h>

#include "command.h"
#include "load.h"
#include "profile/combine.h"
#include "times.h"

/* What getopt_long() returns for them, above selection.h's. */
enum history_option { OPTION_STORE = 1024, OPTION_SERVICE, OPTION_FROM, OPTION_TO };

/* For a command's array of struct option. */
#define HISTORY_RANGE_OPTIONS                                                                  \
    {"service", required_argument, NULL, OPTION_SERVICE},                                      \
        {"from", required_argument, NULL, OPTION_FROM},                                        \
    {                                                                                          \
        "to", required_argument, NULL, OPTION_TO                                               \
    }
#define HISTORY_OPTIONS {"store", required_argument, NULL, OPTION_STORE}, HISTORY_RANGE_OPTIONS

#define HISTORY_RANGE_HELP                                                                     \
    "  --service NAME  only this service's\n"                                                  \
    "  --from TIME     since then, and\n"                                                      \
    "  --to TIME       until then: -2h, 14:00, \"yesterday 14:00\", monday, "                  \
    "2026-01-31T12:00,\n"                                                                      \
    "                  +30m after --from; hours alone are the first ones after it\n"
#define HISTORY_HELP                                                                           \
    "  --store DIR     history in the place of files: of a folder of "                         \
    "CPROF_STORE_DIR\n" HISTORY_RANGE_HELP

struct history {
    const char *folder;    /* NULL: files */
    const char *service;   /* NULL: all */
    struct span span;      /* `to` 0: up to now */
    const char *from, *to; /* as they were written; NULL: not */
    bool tells_cover; /* the caller says what it covers, where that is more than the span */
};

/* Takes one option that getopt_long() returned. GO_ON, or EXIT_USAGE after having said why. */
int history_take(struct history *history, const struct command *command, int option,
                 const char *argument);

/* Likewise of an option whose argument is a span of time. */
int history_take_span(const struct command *command, const char *option, const char *argument,
                      struct span *span);

/* The current time in ns. */
uint64_t history_now(void);

/* The sum of what the folder has, and `filter` (NULL: all) selects, with that of when things
 * were. NULL after having said why; the caller frees. */
struct profile *history_load(const struct history *history, enum load_keep keep,
                             const struct profile_filter *filter);

/* Shows each of what the folder has to `take`, which owns it and ends the reading with anything
 * but 0, having said why where that is not -ENOMEM; `again`: what was taken so far comes again.
 * GO_ON, or EXIT_FAILED after having said why. */
struct history_visitor {
    void *closure;
    void (*begin)(void *closure, const struct span *span); /* what is there lies in it */
    int (*take)(void *closure, struct profile *interval);
    void (*again)(void *closure);
};
int history_each(const struct history *history, const struct history_visitor *visitor);

/* *end: when the last ends, in ns, of what `filter` selects among that; 0: there is nothing.
 * GO_ON, or EXIT_FAILED after having said why. What is damaged is left to history_load() to
 * tell. */
int history_end(const struct history *history, const struct profile_filter *filter,
                uint64_t *end);

#endif
