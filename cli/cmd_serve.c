/* cprof serve: profiles in a browser, on this machine alone. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "comparison_page.h"
#include "format/html.h"
#include "loopback.h"
#include "progress.h"
#include "remote.h"
#include "selection.h"

#define MOST_FILES 2000 /* that are listed */

enum { OPTION_PORT = OPTION_OWN, OPTION_OPEN };

extern char **environ;

static const char help[] =
    "Usage: cprof serve [OPTIONS] [FILE|DIR|URL…]\n"
    "\n"
    "Lists profiles in a browser, opens them as flame graphs, several as their sum, and "
    "compares\n"
    "two. DIR stands for the profiles in it, also later ones; without any it is the current\n"
    "folder. A URL is asked each time that it is opened. Only this machine is answered, at an\n"
    "address that nobody can guess. Ctrl-C ends it.\n"
    "\n"
    "  --port N        the port to listen at; without it one that is free\n"
    "  --open          open the list in a browser\n" SELECTION_HELP "\n"
    "Example:\n"
    "  cprof serve --open profiles/ http://localhost:6060\n";

struct serve_options {
    struct selection selection;
    unsigned long port;
    bool open;
    char *const *sources;
    size_t source_count;
};

/* --- what there is --- */

struct shelf {
    char *paths[MOST_FILES]; /* owned */
    size_t count;
};

static void add_path(struct shelf *shelf, const char *folder, const char *name)
{
    char *path;
    const size_t length = strlen(folder);
    const char *slash = length == 0 || folder[length - 1] == '/' ? "" : "/";
    if (shelf->count < MOST_FILES && asprintf(&path, "%s%s%s", folder, slash, name) >= 0)
        shelf->paths[shelf->count++] = path;
}

static int compare_paths(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static void add_folder(struct shelf *shelf, const char *folder, DIR *entries)
{
    const size_t first = shelf->count;
    const struct dirent *entry;
    while ((entry = readdir(entries))) {
        const struct format *format = format_by_path(entry->d_name);
        if (entry->d_name[0] != '.' && format && format->read)
            add_path(shelf, folder, entry->d_name);
    }
    qsort(shelf->paths + first, shelf->count - first, sizeof(*shelf->paths), compare_paths);
}

static struct shelf *shelf_make(const struct serve_options *options)
{
    struct shelf *shelf = calloc(1, sizeof(*shelf));
    for (size_t i = 0; shelf && i < options->source_count; i++) {
        const char *source = options->sources[i];
        DIR *entries = remote_is(source) ? NULL : opendir(source);
        if (entries)
            add_folder(shelf, source, entries);
        else
            add_path(shelf, "", source);
        if (entries)
            closedir(entries);
    }
    return shelf;
}

static void shelf_free(struct shelf *shelf)
{
    for (size_t i = 0; shelf && i < shelf->count; i++)
        free(shelf->paths[i]);
    free(shelf);
}

/* The file of that name, if it is on the list: nothing else is read. */
static char *shelf_find(const struct shelf *shelf, const char *path)
{
    for (size_t i = 0; i < shelf->count; i++)
        if (strcmp(shelf->paths[i], path) == 0)
            return shelf->paths[i];
    return NULL;
}

/* --- pages --- */

static void put(struct buffer *out, const char *html)
{
    buffer_append(out, html, strlen(html));
}

static void begin_page(struct buffer *out)
{
    put(out,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
        "style-src 'unsafe-inline'; form-action 'self'\">"
        "<meta name=\"viewport\" content=\"width=device-width\"><title>cprof</title><style>"
        ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:2em "
        "auto;max-width:60em;padding:0 1em}li{list-style:none}ul{padding:0}"
        "label{overflow-wrap:anywhere}button{font:inherit;margin-right:.5em}</style>");
}

static int write_message(struct buffer *out, int status, const char *text)
{
    begin_page(out);
    put(out, "<p>");
    loopback_escape(out, text);
    put(out, "<p><a href=\".\">All profiles</a>");
    return status;
}

/* Bytes of a link's query, whatever they are. */
static void put_encoded(struct buffer *out, const char *text)
{
    char code[4];
    for (; *text; text++) {
        snprintf(code, sizeof(code), "%%%02X", (unsigned)(unsigned char)*text);
        put(out, code);
    }
}

static int write_list(const struct shelf *shelf, struct buffer *out)
{
    begin_page(out);
    put(out, "<h1>Profiles</h1><form><ul>");
    for (size_t i = 0; i < shelf->count; i++) {
        put(out, "<li><label><input type=\"checkbox\" name=\"f\" value=\"");
        loopback_escape(out, shelf->paths[i]);
        put(out, "\"> </label><a href=\"view?f=");
        put_encoded(out, shelf->paths[i]);
        put(out, "\">");
        loopback_escape(out, shelf->paths[i]);
        put(out, "</a>");
    }
    put(out, shelf->count ? "</ul><button formaction=\"view\">Open as one</button>"
                            "<button formaction=\"diff\">Compare two</button></form>"
                          : "</ul></form><p>There is none.");
    return 200;
}

static int write_view(const struct serve_options *options, char *const *paths, size_t count,
                      struct buffer *out)
{
    struct profile *profile = selection_load(&options->selection, paths, count);
    if (!profile)
        return write_message(out, 500, "It could not be read; the terminal says why.");
    int status = html_write_page(profile, NULL, out);
    profile_free(profile);
    if (status)
        out->error = status;
    return 200;
}

static int write_comparison(struct comparison_side sides[SIDES], const char *const names[SIDES],
                            struct buffer *out)
{
    const struct comparison_view view = {.what.by = REPORT_BY_FUNCTION};
    struct comparison comparison;
    if (comparison_match(sides, names) != GO_ON || comparison_make(&comparison, sides, &view))
        return write_message(out, 500, "These two can't be compared.");
    int status = comparison_write_page(&comparison, sides, names, NULL, out);
    comparison_free(&comparison);
    if (status)
        out->error = status;
    return 200;
}

static int write_diff(const struct serve_options *options, char *const *paths,
                      struct buffer *out)
{
    const char *const names[SIDES] = {paths[SIDE_BASE], paths[SIDE_NEW]};
    struct profile *base = selection_load(&options->selection, &paths[SIDE_BASE], 1);
    struct profile *new =
        base ? selection_load(&options->selection, &paths[SIDE_NEW], 1) : NULL;
    struct comparison_side sides[SIDES] = {{.profile = base}, {.profile = new}};
    int status = new ? write_comparison(sides, names, out)
                     : write_message(out, 500, "It could not be read; the terminal says why.");
    profile_free(base);
    profile_free(new);
    return status;
}

static int write_page(const struct serve_options *options, const struct shelf *shelf,
                      const char *page, char *query, struct buffer *out)
{
    char *paths[MOST_FILES], *name, *value;
    size_t count = 0;
    while (count < MOST_FILES && loopback_parameter(&query, &name, &value)) {
        char *path = strcmp(name, "f") == 0 ? shelf_find(shelf, value) : NULL;
        if (!path)
            return write_message(out, 404, "There is no such profile on the list.");
        paths[count++] = path;
    }
    if (!*page)
        return write_list(shelf, out);
    if (strcmp(page, "view") == 0 && count > 0)
        return write_view(options, paths, count, out);
    if (strcmp(page, "diff") == 0 && count == SIDES)
        return write_diff(options, paths, out);
    return write_message(out, 404,
                         strcmp(page, "diff") ? "Choose a profile." : "Choose two of them.");
}

static int answer(void *closure, const char *page, const char *query, struct buffer *out)
{
    const struct serve_options *options = closure;
    struct shelf *shelf = shelf_make(options);
    char *copy = strdup(query);
    int status = 500;
    if (shelf && copy)
        status = write_page(options, shelf, page, copy, out);
    progress_end();
    free(copy);
    shelf_free(shelf);
    return status;
}

/* --- the command --- */

static volatile sig_atomic_t stopped;
static struct loopback server;

static void stop(int signal_number)
{
    (void)signal_number;
    stopped = 1;
    shutdown(server.socket,
             SHUT_RDWR); /* accept() returns, also when it is called after this */
}

static void open_browser(const char *url)
{
    char program[] = "xdg-open", *copy = strdup(url);
    char *const argv[] = {program, copy, NULL};
    pid_t child;
    if (!copy || posix_spawnp(&child, program, NULL, NULL, argv, environ))
        fail("there is no xdg-open to open a browser with");
    free(copy);
}

static int take_option(void *closure, int option, char *argument)
{
    struct serve_options *options = closure;
    if (option == OPTION_PORT)
        return parse_number(&command_serve, "--port", argument, 1, 65535, &options->port);
    if (option != OPTION_OPEN)
        return selection_take(&options->selection, &command_serve, option, argument);
    options->open = true;
    return GO_ON;
}

/* What was named has to be there; a folder may fill later. */
static int check_sources(const struct serve_options *options)
{
    struct stat info;
    for (size_t i = 0; i < options->source_count; i++) {
        const char *source = options->sources[i];
        if (!remote_is(source) && stat(source, &info))
            return fail("%s: %s", source, strerror(errno));
    }
    return GO_ON;
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        {"port", required_argument, NULL, OPTION_PORT},
        {"open", no_argument, NULL, OPTION_OPEN},
        SELECTION_OPTIONS,
        {0},
    };
    static char here[] = ".";
    char *const current[] = {here};
    struct serve_options options = {.selection.intervals = true};
    const struct sigaction action = {.sa_handler = stop};
    int status = parse_options(&command_serve, argc, argv, "", known, take_option, &options);
    if (status != GO_ON)
        return status;
    options.sources = optind < argc ? argv + optind : current;
    options.source_count = optind < argc ? (size_t)(argc - optind) : 1;
    status = check_sources(&options);
    if (status != GO_ON)
        return status;
    status = loopback_open(&server, (unsigned)options.port);
    if (status)
        return fail("cannot listen at port %lu: %s", options.port, strerror(-status));
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    puts(server.url);
    fflush(stdout);
    if (options.open)
        open_browser(server.url);
    loopback_serve(&server, answer, &options, &stopped);
    loopback_close(&server);
    return EXIT_DONE;
}

const struct command command_serve = {
    .name = "serve",
    .summary = "profiles in a browser, on this machine alone",
    .help = help,
    .run = run,
};
