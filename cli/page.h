/* What the commands that write a flame graph page have in common. */
#ifndef CPROF_CLI_PAGE_H
#define CPROF_CLI_PAGE_H

#include "format/html.h"
#include "selection.h"
#include "source.h"

/* For a command's array of struct option. */
#define PAGE_OPTIONS                                                                           \
    {"source-url", required_argument, NULL, OPTION_SOURCE_URL},                                \
        {"source-root", required_argument, NULL, OPTION_SOURCE_ROOT},                          \
        {"source", required_argument, NULL, OPTION_SOURCE_FOLDER},                             \
    {                                                                                          \
        "no-source", no_argument, NULL, OPTION_NO_SOURCE                                       \
    }

#define PAGE_HELP                                                                              \
    "  --source-url T  link frames to their source: an http, https, vscode or file URL with\n" \
    "                  {file} and {line} in it\n"                                              \
    "  --source-root D {file} is the path below D; files elsewhere get no link\n"              \
    "  --source DIR    look for source files below DIR first; their lines near a frame "       \
    "stand\n"                                                                                  \
    "                  in the page where they are at hand\n"                                   \
    "  --no-source     no source in the page\n"

struct page_options {
    struct html_options html;
    const char *folder; /* of --source; NULL = files are where the profile says */
    bool no_source;
};

/* The source file that is open while a page is made. */
struct page_sources {
    struct source source;
    const char *folder;
    char *file; /* as the profile has it; NULL = none so far */
    bool found;
};

/* Gives the page what it may have of source files, from the beginning of its making to the end
 * of it. */
void page_open_sources(struct page_sources *sources, const struct page_options *options,
                       struct html_options *html);
void page_close_sources(struct page_sources *sources);

/* Takes one of those or -o OUT.html, which may be standard output. GO_ON, EXIT_USAGE after
 * having said why, or PAGE_NOT_MINE. */
#define PAGE_NOT_MINE (-2)
int page_take(const struct command *command, int option, const char *argument,
              struct page_options *page, const char **output);

#endif
