#include "page.h"

#include <stdlib.h>
#include <string.h>

/* A link must never run anything. */
static bool is_safe_url(const char *url)
{
    static const char *const schemes[] = {"https://", "http://", "vscode://", "file://"};
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
        if (strncmp(url, schemes[i], strlen(schemes[i])) == 0)
            return true;
    return false;
}

int page_take(const struct command *command, int option, const char *argument,
              struct page_options *page, const char **output)
{
    switch (option) {
    case 'o':
        *output = argument;
        if (output_is_standard(argument) || format_by_path(argument) == &format_html)
            return GO_ON;
        return wrong_usage(command, "-o needs a name that ends in .html, not \"%s\"", argument);
    case OPTION_SOURCE_URL:
        page->html.source_url = argument;
        if (is_safe_url(argument) && strstr(argument, "{file}"))
            return GO_ON;
        return wrong_usage(command,
                           "--source-url needs an http, https, vscode or file URL with {file} "
                           "in it, not \"%s\"",
                           argument);
    case OPTION_SOURCE_ROOT:
        page->html.source_root = argument;
        return GO_ON;
    case OPTION_SOURCE_FOLDER:
        page->folder = argument;
        return GO_ON;
    case OPTION_NO_SOURCE:
        page->no_source = true;
        return GO_ON;
    default:
        return PAGE_NOT_MINE;
    }
}

static void close_file(struct page_sources *sources)
{
    if (sources->found)
        source_free(&sources->source);
    free(sources->file);
    sources->file = NULL;
    sources->found = false;
}

/* struct html_sources' line: one file is open at a time. */
static const char *find_line(void *closure, const char *file, int64_t line, size_t *length)
{
    struct page_sources *sources = closure;
    if (!sources->file || strcmp(sources->file, file) != 0) {
        close_file(sources);
        sources->file = strdup(file);
        sources->found = source_open(&sources->source, file, sources->folder) == 0;
    }
    return sources->found ? source_line(&sources->source, line, length) : NULL;
}

void page_open_sources(struct page_sources *sources, const struct page_options *options,
                       struct html_options *html)
{
    *sources = (struct page_sources){.folder = options->folder};
    *html = options->html;
    if (!options->no_source)
        html->sources = (struct html_sources){find_line, sources};
}

void page_close_sources(struct page_sources *sources)
{
    close_file(sources);
}
