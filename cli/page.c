#include "page.h"

#include <string.h>

#include "progress.h"

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
              struct html_source *source, const char **output)
{
    switch (option) {
    case 'o':
        *output = argument;
        if (format_by_path(argument) == &format_html)
            return GO_ON;
        return wrong_usage(command, "-o needs a name that ends in .html, not \"%s\"", argument);
    case OPTION_SOURCE_URL:
        source->url = argument;
        if (is_safe_url(argument) && strstr(argument, "{file}"))
            return GO_ON;
        return wrong_usage(command,
                           "--source-url needs an http, https, vscode or file URL with {file} "
                           "in it, not \"%s\"",
                           argument);
    case OPTION_SOURCE_ROOT:
        source->root = argument;
        return GO_ON;
    default:
        return PAGE_NOT_MINE;
    }
}

int page_write(struct buffer *content, int status, const char *output)
{
    char error[FORMAT_ERROR_SIZE] = "";
    if (status)
        content->error = status;
    status = buffer_write_file(content, output, error);
    progress_end();
    buffer_free(content);
    return status ? fail("%s", error) : EXIT_DONE;
}
