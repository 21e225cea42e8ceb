/* What the commands that write a flame graph page have in common. */
#ifndef CPROF_CLI_PAGE_H
#define CPROF_CLI_PAGE_H

#include "format/html.h"
#include "selection.h"

/* For a command's array of struct option. */
#define PAGE_OPTIONS                                                                           \
    {"source-url", required_argument, NULL, OPTION_SOURCE_URL},                                \
    {                                                                                          \
        "source-root", required_argument, NULL, OPTION_SOURCE_ROOT                             \
    }

#define PAGE_HELP                                                                              \
    "  --source-url T  link frames to their source: an http, https, vscode or file URL with\n" \
    "                  {file} and {line} in it\n"                                              \
    "  --source-root D {file} is the path below D; files elsewhere get no link\n"

/* Takes one of those or -o OUT.html. GO_ON, EXIT_USAGE after having said why, or
 * PAGE_NOT_MINE. */
#define PAGE_NOT_MINE (-2)
int page_take(const struct command *command, int option, const char *argument,
              struct html_source *source, const char **output);

/* Writes a page that has been made with `status`, and frees it. Returns the exit code. */
int page_write(struct buffer *content, int status, const char *output);

#endif
